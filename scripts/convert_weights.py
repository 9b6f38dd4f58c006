"""Converts weights: NVIDIA's StyleGAN2 layout to rosinality's and back, ours to the official files, .pt to
.safetensors.
"""

import _bootstrap  # noqa: F401

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.official_layout import official_content
from models.stylegan2.model import Generator
from models.stylegan2.nvidia import from_nvidia, rosinality_config, rosinality_networks, to_nvidia
from models.loading import SkipInit, load_into
from models.kinds import checkpoint_kind, describe
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.errors import InputError, run_command
from utils.pictures.sheets import image_sheet
from utils.pictures.writing import save_pil
from utils.files.network_pickle import KIND as NVIDIA

SUFFIXES = (".pt", ".pth", ".safetensors")
SAMPLES = 8
SAMPLE_TRUNCATION = 0.7


def build_parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("input", metavar="FILE", help="weights: .pt, .pth, .safetensors or NVIDIA's .pkl")
    parser.add_argument("output", metavar="FILE", help="the new file: .pt, .pth or .safetensors")
    parser.add_argument(
        "--to",
        choices=("official", "nvidia"),
        default="official",
        help="layout: official is what SAM, MyTimeMachine, pSp and rosinality's code read; nvidia is state "
        "dicts for the StyleGAN2 networks of stylegan2-ada-pytorch",
    )
    parser.add_argument("--samples", metavar="PNG", help="also draw pictures with a converted StyleGAN2")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    source, target = Path(args.input), Path(args.output)
    if target.suffix not in SUFFIXES:
        raise InputError(f"{target}: the output must end in {', '.join(SUFFIXES)} (.pkl cannot be written)")
    if target.exists() and not args.overwrite:
        raise InputError(f"{target} exists; choose another name or add --overwrite")
    before = load_checkpoint(source)
    print(f"{source}: {describe(before)}")
    if args.samples and checkpoint_kind(before) not in (NVIDIA, "stylegan2"):
        raise InputError(f"--samples is for StyleGAN2 files; {source} is {describe(before)}")
    if args.to == "nvidia" and checkpoint_kind(before) != NVIDIA:
        content = to_nvidia(before, str(source))
    else:
        content = official_content(before, str(source)) if args.to == "official" else _states(before)
    # Under another name until it is checked, so that a file it replaces is not lost for a bad one.
    unchecked = target.with_name(f".unchecked_{target.name}")
    try:
        after = load_checkpoint(save_checkpoint(content, unchecked))
        count = check_equal(dict(tensors(content)), dict(tensors(after)), str(target))
        print(f"{target}: {describe(after)}, {count} tensors written and read back")
        check_way_back(before, after, source, target)
        unchecked.replace(target)
    finally:
        unchecked.unlink(missing_ok=True)
    if args.samples:
        draw_samples(after, target, args.samples)
    return 0


def _states(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The state dicts of a file in NVIDIA's layout."""
    return {name: value for name, value in checkpoint.items() if name in ("G", "D", "G_ema")}


# ---------------------------------------------------------------- checks


def tensors(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint with its place."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from tensors(value, f"{prefix}/{key}" if prefix else key)


def check_equal(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> int:
    """Compares two sets of tensors bit for bit and returns how many there are.

    Raises:
        InputError: a tensor is missing or differs.
    """
    found = {key.removeprefix("state_dict/"): value for key, value in found.items()}
    for key, value in wanted.items():
        other = found.get(key.removeprefix("state_dict/"))
        if other is None or not torch.equal(value, other):
            raise InputError(f"{where}: {key} did not survive the conversion; the file is not kept")
    return len(wanted)


def check_way_back(before: Mapping[str, Any], after: Mapping[str, Any], source: Path, target: Path) -> None:
    """Between NVIDIA's layout and rosinality's: converts back and compares with the source."""
    kinds = checkpoint_kind(before), checkpoint_kind(after)
    if set(kinds) != {NVIDIA, "stylegan2"}:
        return
    if kinds[0] == NVIDIA:
        original, back = _states(before), to_nvidia(after, str(target))
        # G and G_ema have averages of their own at NVIDIA's; rosinality's layout holds one.
        dropped = "G/mapping.w_avg" if "G_ema" in original else None
        wanted = {key: value.float() for key, value in tensors(original) if key != dropped}
    else:
        networks = {entry: dict(state) for entry, state in rosinality_networks(before).items()}
        wanted, back = dict(tensors(networks)), from_nvidia(after, str(target))
        wanted = {key: value.float() for key, value in wanted.items()}
    count = check_equal(wanted, dict(tensors(back)), str(source))
    print(f"converted back: {count} tensors equal those of {source.name}")


# ---------------------------------------------------------------- pictures


def draw_samples(content: Mapping[str, Any], target: Path, picture: str) -> None:
    """Draws random faces with the converted generator, so that someone can look at them."""
    if checkpoint_kind(content) == NVIDIA:
        content = from_nvidia(content, str(target))
    networks = rosinality_networks(content)
    with SkipInit():
        generator = Generator.from_config(rosinality_config(content, str(target))).eval()
    load_into(generator, networks.get("g_ema") or networks["g"], str(target))
    z = torch.randn(SAMPLES, generator.style_dim, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(generator.c_dim)[torch.arange(SAMPLES) % generator.c_dim] if generator.c_dim else None
    images = []
    for index in range(SAMPLES):
        with torch.no_grad():
            image, _ = generator(
                [z[index : index + 1]],
                truncation=SAMPLE_TRUNCATION,
                truncation_latent=content["latent_avg"],
                randomize_noise=False,
                labels=None if labels is None else labels[index : index + 1],
            )
        images.append(image[0])
    save_pil(image_sheet([images[: SAMPLES // 2], images[SAMPLES // 2 :]]), picture)
    print(f"{picture}: {SAMPLES} random pictures")


if __name__ == "__main__":
    run_command(main)
