"""The command line of NVIDIA's train.py (StyleGAN2-ADA) in AgeLab's words, before anything is parsed."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from options.nvidia_configurations import (
    AUTO,
    NAMES,
    Configuration,
    configuration,
    snapshot_steps,
    steps,
)
from options.stylegan2_options import StyleGAN2Options
from utils.distributed import is_main, world_size
from utils.errors import InputError, naming
from utils.notes import listed, note
from utils.pictures.listing import find_pictures
from utils.pictures.reading import open_rgb
from utils.typed_options import count, flags_of, group, pixels, positive, some_path, weight

COACH = "stylegan2"
PRETRAINED = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets/"
)
# What NVIDIA's program downloads for a name.
SOURCES = {
    "ffhq256": "ffhq-res256-mirror-paper256-noaug.pkl",
    "ffhq512": "ffhq-res512-mirror-stylegan2-noaug.pkl",
    "ffhq1024": "ffhq-res1024-mirror-stylegan2-noaug.pkl",
    "celebahq256": "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl",
    "lsundog256": "lsundog-res256-paper256-kimg100000-noaug.pkl",
}
TRUE, FALSE = ("true", "t", "yes", "y", "on", "1"), ("false", "f", "no", "n", "off", "0")


def boolean(text: str) -> bool:
    """A word such as ``true`` or ``0``."""
    if text.lower() in TRUE + FALSE:
        return text.lower() in TRUE
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def config_name(text: str) -> str:
    """The name of a configuration."""
    if text in NAMES:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(NAMES)}")


def metrics(text: str) -> str:
    """Names of metrics such as ``fid50k_full``, as AgeLab calls them; AgeLab's own stay."""
    absent = re.search(r"\b(is|pr|ppl)\d\w*", text)
    if absent is not None:
        raise argparse.ArgumentTypeError(f"{absent[0]!r} is not measured here; fid and kid are")
    return re.sub(r"\b(fid|kid)\d\w*", r"\1", text).replace("None", "none")


def power_of_two(text: str) -> int:
    """A number of GPUs."""
    value = positive(text)
    if value & (value - 1):
        raise argparse.ArgumentTypeError(f"{value} is not a power of two")
    return value


# Words that only NVIDIA's command line has; any of them makes a command of --coach=stylegan2 one of theirs.
THEIRS: dict[str, Callable[[str], Any]] = {
    "outdir": some_path,
    "data": some_path,
    "cfg": config_name,
    "gpus": power_of_two,
    "snap": positive,
    "kimg": positive,
    "batch": group,
    "gamma": weight,
    "mirror": boolean,
    "subset": positive,
    "resume": some_path,
    "fp32": boolean,
    **dict.fromkeys(("nhwc", "allow_tf32", "nobench"), boolean),
    # Of the fork by dvschultz.
    "mirrory": boolean,
    "nkimg": count,
    "topk": weight,
}
UNREAD = ("nhwc", "allow_tf32", "nobench", "nkimg")
# AgeLab's words for the same, and words of both with other values there.
SAME: dict[str, tuple[str, Callable[[str], Any]]] = {
    "exp_dir": ("outdir", some_path),
    "train_dataset": ("data", some_path),
    "batch_size": ("batch", group),
    "output_size": ("side", pixels),
    "metrics": ("metrics", metrics),
}
SWITCHES = ("cond", "dry_run")  # AgeLab's switches, which take a value there


def with_nvidia_names(words: Sequence[str]) -> list[str]:
    """The words of a command line that trains StyleGAN2, with NVIDIA's in AgeLab's; any others as they are.

    ``--cfg``, or ``--outdir`` and ``--data``, name the coach if nothing else does. The configuration comes
    first, so that AgeLab's own flags win.

    Raises:
        InputError: a value cannot be used, or asks for what there is not.
    """
    names = {_name(word) for word in words}
    implied = "cfg" in names or {"outdir", "data"} <= names
    if (_last(words, "coach") or (COACH if implied else None)) != COACH:
        return list(words)
    words = _plain_switches(words)
    if not names & THEIRS.keys():
        return words
    if {"-h", "--help"} & set(words):
        return [f"--coach={COACH}", "--help"]
    given, others = _taken(words)
    _refuse(given)
    return [*_translated(given), *others]


def _name(word: str) -> str | None:
    """The name of a flag, with underscores; None for any other word."""
    found = re.fullmatch(r"--([A-Za-z][\w-]*)(=.*)?", word, flags=re.DOTALL)
    return found[1].replace("-", "_") if found else None


def _last(words: Sequence[str], name: str) -> str | None:
    """The last value of a flag; None if it has none."""
    found = None
    for index, word in enumerate(words):
        if _name(word) == name:
            found = word.partition("=")[2] if "=" in word else next(iter(words[index + 1 :]), None)
    return found


def _plain_switches(words: Sequence[str]) -> list[str]:
    """Words with ``--cond=true`` and ``--cond 1`` as ``--cond``, and no such flag where it is false."""
    found: list[str] = []
    state: dict[str, bool] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = "dry_run" if word == "-n" else _name(word)
        if name not in SWITCHES:
            found.append(word)
            continue
        if "=" in word:
            state[name] = _read(name, boolean, word.partition("=")[2])
        else:
            takes = bool(rest) and rest[0].lower() in TRUE + FALSE
            state[name] = boolean(rest.pop(0)) if takes else True
    return [*found, *(f"--{name}" for name, value in state.items() if value)]


def _taken(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of NVIDIA's words, and of AgeLab's for the same; and all other words."""
    given: dict[str, Any] = {}
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name = _name(word)
        if name in THEIRS:
            key, kind = name, THEIRS[name]
        elif name in SAME:
            key, kind = SAME[name]
        else:
            others.append(word)
            continue
        if "=" in word:
            text = word.partition("=")[2]
        elif rest and not rest[0].startswith("--"):
            text = rest.pop(0)
        else:
            raise InputError(f"argument --{name}: expected one argument (--help lists the options)")
        given[key] = _read(name, kind, text)
    return given, others


def _read(name: str, kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except argparse.ArgumentTypeError as error:
        raise InputError(f"argument --{name}: {error}") from None


def _refuse(given: Mapping[str, Any]) -> None:
    """Raises ``InputError`` for what there is not."""
    if "subset" in given:
        raise InputError(
            f"--subset={given['subset']}: training takes all pictures of --data; put those that it shall see "
            "into a folder of their own"
        )
    if given.get("mirrory"):
        raise InputError("--mirrory=true: pictures are not turned upside down; add turned ones to --data")
    if given.get("topk"):
        raise InputError(f"--topk={given['topk']:g}: top-k training is not available; leave it out")
    for name, flag in (("outdir", "exp_dir"), ("data", "train_dataset")):
        if name not in given:
            raise InputError(f"--{name} is needed (or --{flag}): NVIDIA's command line names both folders")


def _translated(given: Mapping[str, Any]) -> list[str]:
    """AgeLab's words for a command line of NVIDIA's."""
    side = given.get("side") or side_of_pictures(given["data"])
    gpus = given.get("gpus", world_size())
    spec = configuration(given.get("cfg", AUTO), side, gpus)
    batch = given.get("batch", spec.batch)
    if batch % gpus:
        raise InputError(f"--batch={batch} is not a multiple of --gpus={gpus}; give one that is")
    found = {
        "coach": COACH,
        "exp_dir": given["outdir"],
        "train_dataset": given["data"],
        "output_size": side,
        "batch_size": batch,
        "gradient_accumulation_steps": _parts(given, spec, batch, gpus),
        "mbstd_group": spec.deviation_group,
        "channels": ",".join(f"{at}:{maps}" for at, maps in spec.channels(side).items()),
        "n_mlp": spec.mapping_layers,
        "learning_rate": spec.learning_rate,
        "r1": given.get("gamma", spec.gamma),
        "ema_halflife": spec.ema_kimg * 1000,
        "ema_rampup": spec.ema_rampup,
        "max_steps": steps(given.get("kimg", spec.kimg), batch),
        "aug": "ada",
    }
    for interval in ("save_interval", "image_interval"):
        found[interval] = snapshot_steps(given.get("snap", 50), batch)
    if not spec.is_regularised:
        found |= {"path_regularize": 0, "mixing": 0}
    if given.get("fp32"):
        found["mixed_precision"] = "no"
    source = _source(given.get("resume", "noresume"))
    if source is not None:  # its average is as old as its networks
        found |= {"checkpoint_path": source, "ema_rampup": 0}
    if "metrics" in given and _measures():
        found["metrics"] = given["metrics"]
    _tell(given, gpus)
    switches = ["--snapshot_names", *([] if given.get("mirror") else ["--no_mirror"])]
    return [*(f"--{name}={value}" for name, value in found.items()), *switches]


def _measures() -> bool:
    """Whether trainings of StyleGAN2 measure anything."""
    return "metrics" in {item.name for _, item in flags_of(StyleGAN2Options)}


def _parts(given: Mapping[str, Any], spec: Configuration, batch: int, gpus: int) -> int:
    """So many parts of a step hold as many pictures at a time as a GPU there."""
    at_a_time = batch // gpus if "batch" in given else spec.pictures_a_gpu
    return max(1, batch // (at_a_time * world_size()))


def side_of_pictures(data: str) -> int:
    """Side of the first picture of a data set in pixels, a power of two.

    Raises:
        InputError: there is no picture, or it is none of such a size.
    """
    with naming("--data"):
        pictures = find_pictures(Path(data)).pictures
        if not pictures:
            raise InputError(f"no pictures in {data}; name a folder or zip archive with some")
        width, height = open_rgb(pictures[0]).size
    if width != height or width & (width - 1) or width < 8:
        raise InputError(
            f"--data={data}: its first picture {pictures[0].name} has {width} x {height} pixels, not equal "
            "sides that are a power of two; resize the pictures, or give the side with --output_size"
        )
    return width


def _source(resume: str) -> str | None:
    """The file to start from.

    Raises:
        InputError: it has to be downloaded.
    """
    if resume == "noresume":
        return None
    url = PRETRAINED + SOURCES[resume] if resume in SOURCES else resume
    if re.match("https?://", url):
        raise InputError(f"--resume={resume}: nothing is downloaded here; get {url} and give the file")
    return resume


def _tell(given: Mapping[str, Any], gpus: int) -> None:
    """Says what is otherwise than there."""
    if not is_main():
        return
    unread = [f"--{name}" for name in UNREAD if given.get(name)]
    if given.get("metrics", "none") != "none" and not _measures():
        unread.append("--metrics")
    if unread:
        note(f"{listed(unread)} {'have' if len(unread) > 1 else 'has'} no effect here")
    if gpus != world_size():
        note(
            f"--gpus={gpus} sets the numbers of the configuration, for {world_size()} running; "
            f"torchrun --nproc_per_node={gpus} starts as many"
        )
    note(f"the run folder is {given['outdir']} itself, and the same command continues it")
