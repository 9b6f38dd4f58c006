"""The folder of a data set made of IMDB-WIKI: `{age}_{idx}` faces and `manifest.csv`, a verdict a photo."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets.imdb_wiki.faces import MISSING, FaceForm, Task, make_face
from datasets.imdb_wiki.metadata import Portrait
from utils.age_groups import decades
from utils.errors import InputError
from utils.faces.align_folder import KEPT, NO_FACE, NOT_WRITTEN, Outcome
from utils.faces.alignment import predictor_path
from utils.files.outputs import require_writable
from utils.files.writing import write_text
from utils.parallel import parallel_map
from utils.pictures.listing import find_pictures

MANIFEST = "manifest.csv"
USED = "kept"
HEADING = ("collection", "row", "file", "age", "score", "second_score", "verdict", "result", "reason")
_VERDICTS = {NO_FACE: "no landmarks", KEPT: NOT_WRITTEN}  # words that mean something else here
_CHUNK = 32  # photos that a process takes at a time


@dataclass(frozen=True)
class Verdicts:
    """What became of every portrait, in the order of the tables.

    Attributes:
        portraits: all of them.
        refused: by which filter those that were not looked at, by their position.
        outcomes: of the others, by their position.
    """

    portraits: Sequence[Portrait]
    refused: Mapping[int, str]
    outcomes: Mapping[int, Outcome]

    def verdict(self, position: int) -> str:
        """``kept``, or why not."""
        if position in self.refused:
            return self.refused[position]
        outcome = self.outcomes[position]
        return USED if outcome.has_result else _VERDICTS.get(outcome.status, outcome.status)

    @property
    def kept(self) -> list[Portrait]:
        """The portraits that are in the data set."""
        return [
            portrait for position, portrait in enumerate(self.portraits) if self.verdict(position) == USED
        ]


def check_output(output: Path, tasks: Iterable[Task], pictures: Iterable[Path]) -> None:
    """Checks before the work that the results can be written, and that nothing else lies among them.

    Raises:
        InputError: the folder holds the photos, cannot be written, or has a picture or manifest that is no
            result of this command with these options.
    """
    place = output.resolve()
    for folder in pictures:
        if place == folder.resolve() or place in folder.resolve().parents:
            raise InputError(f"--output_dir={output} holds the photos themselves; name another folder")
    require_writable([output])
    if not output.exists():
        return
    known = {task.target.name for task in tasks}
    there = find_pictures(output).pictures
    strange = [path for path in there if path.parent != output or path.name not in known]
    if strange:
        raise InputError(
            f"{strange[0]} is no result of this command with these options, and training would use it "
            f"({len(strange)} of the kind); name another --output_dir"
        )
    manifest = output / MANIFEST
    if manifest.exists() and not _is_manifest(manifest):
        raise InputError(f"{manifest} was not made by this command; name another --output_dir")


def _is_manifest(path: Path) -> bool:
    heading = ",".join(HEADING)
    with path.open("rb") as file:
        return file.read(len(heading)) == heading.encode()


def make_faces(tasks: Sequence[Task], form: FaceForm, workers: int) -> Iterator[Outcome]:
    """Makes the faces of all tasks, in their order, with so many processes.

    Raises:
        InputError: what alignment needs is missing, or a worker was killed.
    """
    if form.align is not None:
        predictor_path()
    yield from parallel_map(partial(make_face, form=form), tasks, workers, _CHUNK)


def write_manifest(verdicts: Verdicts, folder: Path) -> Path:
    """Writes the verdict on every portrait; raises ``InputError`` if it cannot be written."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEADING)
    for position, portrait in enumerate(verdicts.portraits):
        outcome = verdicts.outcomes.get(position)
        table.writerow(
            (
                portrait.collection,
                portrait.row,
                portrait.file,
                "" if portrait.age is None else portrait.age,
                f"{portrait.score:.4g}",
                f"{portrait.second_score:.4g}",
                verdicts.verdict(position),
                outcome.target.name if outcome and outcome.has_result else "",
                outcome.detail if outcome and not outcome.has_result else "",
            )
        )
    return write_text(text.getvalue(), folder / MANIFEST)


def report(verdicts: Verdicts, folder: Path, pictures: Iterable[Path]) -> None:
    """Prints how many photos had each verdict, and how many were kept of each decade of life.

    Raises:
        InputError: not one photo was kept, or a result could not be written.
    """
    counts = Counter(map(verdicts.verdict, range(len(verdicts.portraits))))
    for verdict, count in counts.most_common():
        print(f"{verdict:<12} {count:>7}")
    groups = decades()
    by_group = Counter(groups.index(portrait.age) for portrait in verdicts.kept if portrait.age is not None)
    print("kept by age: " + ", ".join(f"{name} {by_group[i]}" for i, name in enumerate(groups.names)))
    print(f"every verdict is in {folder / MANIFEST}")
    if counts[NOT_WRITTEN]:
        first = next(o for o in verdicts.outcomes.values() if o.status in (KEPT, NOT_WRITTEN))
        raise InputError(f"{counts[NOT_WRITTEN]} faces are not written, the first: {first.detail}")
    if counts[MISSING] and counts[MISSING] == len(verdicts.outcomes):
        raise InputError(
            f"none of the {counts[MISSING]} pictures lies in {', '.join(map(str, pictures))}; name the "
            "folder where the paths of the table begin with --pictures_dir"
        )
    if not counts[USED]:
        raise InputError(f"not one photo could be used; {folder / MANIFEST} says why")
