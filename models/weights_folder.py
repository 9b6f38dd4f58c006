"""The official weights on this machine: which files of the table are there, and how the others get there."""

import sys
from collections.abc import Sequence
from pathlib import Path

from configs.weights import WEIGHTS, Weight
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint, load_checkpoint
from utils.files.download import Expected, difference
from utils.files.torch_files import ARCHIVE_START
from utils.files.weight_sources import fetch

OFFICIAL = {name: weight for name, weight in WEIGHTS.items() if not weight.bundled}


def load_published(path: str | Path) -> Checkpoint:
    """Reads a checkpoint; one that has the name and size of a published file must be that file.

    Archives and safetensors are checked by :func:`load_checkpoint` already. Older files and pickles have no
    checksum inside, so that of the table is compared.

    Raises:
        InputError: the file cannot be read, or differs from the published one.
    """
    path = Path(path)
    for weight in OFFICIAL.values():
        if path.is_file() and path.name == weight.name and path.stat().st_size == weight.size:
            with path.open("rb") as file:
                unchecked = not file.read(4).startswith(ARCHIVE_START)
            if unchecked and (problem := difference(path, Expected(weight.size, weight.sha256))):
                raise InputError(
                    f"{path} is damaged or is not the published file: {problem}; download it again or, if it "
                    f"is a file of your own, rename it"
                )
    return load_checkpoint(path)


def chosen_weights(names: Sequence[str], everything: bool = False) -> list[str]:
    """Names of the weights to download, each once.

    Raises:
        InputError: there is none of that name, or none was named.
    """
    chosen = list(OFFICIAL) if everything else list(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in OFFICIAL]
    if unknown or not chosen:
        problem = (
            f"there are no weights called {unknown[0]!r}" if unknown else "name the weights, or say --all"
        )
        raise InputError(f"{problem}; there are {', '.join(OFFICIAL)}")
    return chosen


def bring_all(
    names: Sequence[str], root: Path, mirror: str | None = None, force: bool = False, check: bool = True
) -> None:
    """Downloads files of the table and says of each what became of it; one failure stops no other.

    Args:
        names: keys of :data:`OFFICIAL`.
        root: the folder.
        mirror: take every file from here instead of its source.
        force: download what is there again.
        check: accept no file of another size or checksum than in the table.

    Raises:
        InputError: at the end, if a file is missing.
    """
    failed = []
    for name in names:
        try:
            print(bring(OFFICIAL[name], root, mirror, force, check))
        except InputError as error:
            failed.append(name)
            print(f"error: {name}: {error}", file=sys.stderr)
    if failed:
        raise InputError(f"{len(failed)} of {len(names)} files are missing: {', '.join(failed)}")


def bring(weight: Weight, root: Path, mirror: str | None, force: bool, check: bool) -> str:
    """Downloads one file unless it is there, and says what became of it; arguments as of :func:`bring_all`.

    Raises:
        InputError: it cannot be had, or what is there is another file.
    """
    target = root / weight.name
    expected = Expected(weight.size, weight.sha256) if check else Expected()
    if target.exists() and not force:
        if problem := difference(target, expected):
            raise InputError(f"{target} is not the expected file: {problem}; --force downloads it again")
        return f"{target}: is there ({checks_passed(expected)})"
    addresses = [f"{mirror.rstrip('/')}/{weight.name}"] if mirror else [weight.source, *weight.mirrors]
    address = fetch(addresses, target, expected)
    size = target.stat().st_size
    return f"{target}: {size} bytes from {address} ({checks_passed(expected)})\n  licence: {weight.licence}"


def checks_passed(expected: Expected) -> str:
    """Which checks a file has passed, in words."""
    if expected.sha256:
        return "checksum is right"
    return "size is right, checksum unknown" if expected.size else "size and checksum unknown, not checked"


def table(root: Path) -> str:
    """The table of official weights as text, with which of them lie in a folder."""
    lines = [f"folder: {root}"]
    for name, weight in OFFICIAL.items():
        there = "here" if (root / weight.name).exists() else "not here"
        size = f"{weight.size} bytes" if weight.size else f"about {weight.megabytes} MB"
        lines += [
            f"\n{name}: {there}",
            f"  file      {weight.name}, {size}",
            f"  sha256    {weight.sha256 or 'unknown'}",
            f"  source    {weight.source}",
            *(f"  mirror    {address}" for address in weight.mirrors),
            f"  licence   {weight.licence}",
            f"  input     {weight.normalisation}"
            + (f", {weight.input_size} px" if weight.input_size else ""),
        ]
    return "\n".join(lines)
