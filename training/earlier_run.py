"""What a run was begun with against what it is asked for now: applied, said, kept or refused."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.faces import FaceFolder
from datasets.labels import LabelledFaces
from options.base_options import TrainOptions
from utils.distributed import is_main
from utils.errors import InputError
from utils.notes import note
from utils.pictures.archives import file_size, names_count_from
from utils.typed_options import flags_of

# Where, when and how: no matter for the result, or meant to change.
APPLIED = {
    *("exp_dir", "max_steps", "epochs", "dry_run", "device", "ops", "threads", "workers", "max_skipped"),
    *("activation_checkpointing", "memory_forecast"),
    *("image_interval", "board_interval", "val_interval", "save_interval", "save_minutes"),
    *("keep_checkpoints", "keep_sheets", "n_samples"),
    *("judge_age", "judge_identity"),
    "train_dataset",  # its pictures are compared, not its name
}
# Read at the beginning only; what they gave is in the state.
KEPT = {
    *("checkpoint_path", "grow_from", "stylegan_weights", "pretrained_psp_path"),
    *("encoder_start", "encoder_weights", "resnet18_weights"),
}
# They make another network or optimiser, which the state does not fit.
REFUSED = {
    *("output_size", "style_dim", "n_mlp", "channel_multiplier", "channels", "input_nc"),
    *("encoder_size", "encoder_channels", "encoder_units", "style_channels", "encoder_type"),
    *("start_from_latent_avg", "start_from_encoded_w_plus", "train_decoder", "n_bottleneck"),
    *("network", "input_size", "network_channels", "network_depths", "hidden", "embedding_dim", "teacher"),
    *("optim_name", "discriminator", "kind"),
    *("discriminator_channels", "cond", "age_groups", "latent_space", "encoder_width", "encoder_repeats"),
    *("base_channels", "residual_blocks", "discriminator_base_channels"),
}
# All others hold from the step at which the run goes on, which is said.


def settings(opts: TrainOptions) -> dict[str, Any]:
    """The options as plain values, without the place of the run, so that two of its runs write the same."""
    record = json.loads(json.dumps(opts.record(), default=str))
    return {name: value for name, value in record.items() if name != "exp_dir"}


def taken_over(
    opts: TrainOptions, saved: Mapping[str, Any] | None, coach: str, place: Path
) -> dict[str, Any]:
    """The options that a run goes on with; what changed is said.

    Args:
        opts: as asked for.
        saved: the state of the run so far.
        coach: name of the class that trains.
        place: folder of the run, for messages.

    Raises:
        InputError: an option cannot be changed any more.
    """
    earlier = (saved or {}).get("record", {}).get("options")
    if not saved or not earlier or saved["coach"] != coach:
        return settings(opts)
    record, notes = reconciled(opts, earlier, saved["step"], place)
    for text in notes if is_main() else ():
        note(text)
    return record


def data_taken_over(
    data: FaceFolder, saved: Mapping[str, Any] | None, refuse: bool, place: Path
) -> dict[str, Any]:
    """What tells the pictures of a run; that they are others than those of the run so far is said.

    Args:
        data: the pictures.
        saved, place: as of :func:`taken_over`.
        refuse: whether the run belongs to its pictures.

    Raises:
        InputError: it does, and they are others.
    """
    now = fingerprint(data)
    text = check_data(now, (saved or {}).get("record", {}).get("data"), data.folder, refuse, place)
    if text is not None and is_main():
        note(text)
    return now


def reconciled(
    opts: TrainOptions, earlier: Mapping[str, Any], step: int, place: Path
) -> tuple[dict[str, Any], list[str]]:
    """The options that a run goes on with, and what to say about those that changed.

    Args:
        opts: as asked for.
        earlier: :func:`settings` of the run so far.
        step: where it goes on.
        place: its folder, for messages.

    Raises:
        InputError: an option cannot be changed any more.
    """
    wanted, notes = settings(opts), []
    read = [item.name for _, item in flags_of(type(opts))]
    for name in read:
        if name in APPLIED or name not in earlier or earlier[name] == wanted.get(name):
            continue
        before, now = (_shown(values[name]) for values in (earlier, wanted))
        if name in REFUSED:
            raise InputError(
                f"--{name}={now}: the run in {place} was begun with {before}, which cannot change; "
                f"use that or another --exp_dir"
            )
        if name in KEPT:
            wanted[name] = earlier[name]
            notes.append(f"--{name}={now} has no effect: the run goes on from its own weights ({before})")
        else:
            notes.append(f"--{name} is {now} from step {step + 1} on; it was {before}")
    return wanted, notes


def fingerprint(data: FaceFolder) -> dict[str, Any]:
    """What tells one set of pictures from another, wherever it lies: names, sizes and classes."""
    digest = hashlib.sha256()
    if isinstance(data, LabelledFaces):
        digest.update(str(data.label_of.tolist()).encode())
    for path in data.paths:
        name = path.relative_to(names_count_from(data.folder))
        digest.update(f"{name.as_posix()}\0{file_size(path)}\n".encode(errors="surrogateescape"))
    return {"pictures": len(data.paths), "names_and_sizes": digest.hexdigest()}


def check_data(
    now: Mapping[str, Any], earlier: Mapping[str, Any] | None, folder: Path, refuse: bool, place: Path
) -> str | None:
    """What to say if a run was begun with other pictures.

    Args:
        now: :func:`fingerprint` of the pictures.
        earlier: that of the run so far, None where it is not known.
        folder: of the pictures, for messages.
        refuse: whether the run belongs to its pictures.
        place: folder of the run, for messages.

    Raises:
        InputError: it does, and they are others.
    """
    if earlier is None or dict(now) == dict(earlier):
        return None
    counts = f"{now['pictures']} pictures in {folder} are not the {earlier['pictures']}"
    if refuse:
        raise InputError(
            f"the {counts} that the run in {place} was begun with, and it belongs to these; use another "
            f"--exp_dir for others"
        )
    return f"the {counts} that the run was begun with; it goes on with the new ones"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
