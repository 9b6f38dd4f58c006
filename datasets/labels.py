"""The class of every picture: NVIDIA's `dataset.json`, or ages that fall into groups; and faces with it.

`dataset.json` lies in the folder, at the top of the zip archive, or as `faces.json` beside `faces.zip`:
`{"labels": [["00000/img00000000.png", 3], ...]}`. Beside the labels AgeLab writes `classes` (their names) and
`age_groups`, which NVIDIA's reader passes over.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.age_parsing import parse_age
from datasets.faces import FaceFolder, Item
from utils.age_groups import AgeGroups, parse_age_groups
from utils.errors import InputError, explained
from utils.files.writing import write_text
from utils.notes import note
from utils.pictures.archives import file_size, is_archive, names_count_from, open_file

JSON = "dataset.json"
LARGEST = 256 * 2**20  # bytes; the labels of half a million pictures take 20 MB
_REMEDY = "write it anew with scripts/make_json_labels.py"


@dataclass(frozen=True)
class ClassLabels:
    """Classes, and the pictures that belong to them.

    Attributes:
        names: of the classes, by their number.
        of: the class of each picture by its path below the data set, with forward slashes.
        age_groups: the groups of ages that the classes are; None where they are something else.
    """

    names: tuple[str, ...]
    of: Mapping[str, int]
    age_groups: AgeGroups | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def counts(self) -> list[int]:
        """Pictures of each class."""
        return counted(self.of.values(), len(self))

    def require_pictures(self, counts: Sequence[int], least: int, place: str | Path) -> None:
        """Raises ``InputError`` that names the first class with fewer than ``least`` pictures."""
        for name, count in zip(self.names, counts, strict=True):
            if count < least:
                kind = "class" if self.age_groups is None else "age group"
                raise InputError(
                    f"{place} has too few pictures of the {kind} {name}: {count}, at least {least} needed; "
                    f"add some, or leave the {kind} out"
                )


def counted(classes: Iterable[int], number: int) -> list[int]:
    """How often each of so many classes occurs among some."""
    found = Counter(classes)
    return [found[index] for index in range(number)]


def names_in(data: str | Path, pictures: Sequence[Path]) -> list[str]:
    """Pictures as label files name them: by their paths below the data set, with forward slashes."""
    base = names_count_from(data)
    return [path.relative_to(base).as_posix().replace("\\", "/") for path in pictures]


# ---------------------------------------------------------------- made from names


def labels_by_age(data: str | Path, pictures: Sequence[Path], groups: AgeGroups) -> ClassLabels:
    """Labels by the ages in names ``{age}_{idx}``; a picture whose age falls into a gap has none.

    Raises:
        InputError: a name has no age.
    """
    of, nameless = {}, []
    for name in names_in(data, pictures):
        age = _age_in(name)
        group = None if age is None else groups.index(age)
        if age is None:
            nameless.append(name)
        elif group is not None:
            of[name] = group
    if nameless:
        raise InputError(
            f"{len(nameless)} of {len(pictures)} pictures in {data} have no age in their names, the first: "
            f"{nameless[0]}; name them {{age}}_{{idx}}, or put each class into a sub-folder"
        )
    return ClassLabels(tuple(groups.names), of, groups)


def _age_in(name: str) -> float | None:
    try:
        return parse_age(name)
    except InputError:
        return None


def class_folders(data: str | Path, pictures: Sequence[Path]) -> list[str]:
    """The sub-folders of a data set: those whose names begin with a number by it, then the others by name."""
    inside = {name.partition("/")[0] for name in names_in(data, pictures) if "/" in name}
    if Path(data).is_dir():
        inside |= {path.name for path in Path(data).iterdir() if path.is_dir() and path.name[0] != "."}
    return sorted(inside, key=_by_number)


def _by_number(name: str) -> tuple[bool, int, str]:
    number = re.match(r"[0-9]+", name)
    return number is None, int(number[0]) if number else 0, name


def labels_by_folder(data: str | Path, pictures: Sequence[Path]) -> ClassLabels:
    """Labels by sub-folder, one a class, in the order of :func:`class_folders`.

    Folders that are called as age groups are (``0-10``) are groups of ages.

    Raises:
        InputError: there is a single sub-folder, or pictures lie beside them.
    """
    folders = class_folders(data, pictures)
    if len(folders) < 2:
        raise InputError(
            f"{data} has fewer than two sub-folders, and each is a class; add the others, or give "
            "--age_groups to go by the ages in the names"
        )
    names = names_in(data, pictures)
    outside = [name for name in names if "/" not in name]
    if outside:
        raise InputError(
            f"{len(outside)} of {len(names)} pictures lie in {data} itself, the first: {outside[0]}; "
            "move each into the sub-folder of its class, or give --age_groups to go by the ages in the names"
        )
    number = {folder: index for index, folder in enumerate(folders)}
    groups = _groups_of(folders)
    return ClassLabels(tuple(folders), {name: number[name.partition("/")[0]] for name in names}, groups)


def _groups_of(names: Sequence[str]) -> AgeGroups | None:
    try:
        return parse_age_groups(",".join(names))
    except InputError:
        return None


# ---------------------------------------------------------------- files


def labels_path(data: str | Path) -> Path:
    """Where labels are written for a data set: into the folder, or beside the archive under its name."""
    return Path(data).with_suffix(".json") if is_archive(data) else Path(data) / JSON


def write_labels(labels: ClassLabels, path: str | Path) -> Path:
    """Writes labels as NVIDIA's `dataset.json`; raises ``InputError`` if it cannot be written."""
    content: dict[str, Any] = {"labels": sorted(map(list, labels.of.items())), "classes": list(labels.names)}
    if labels.age_groups is not None:
        content["age_groups"] = str(labels.age_groups)
    return write_text(json.dumps(content) + "\n", path)


def read_labels(data: str | Path) -> ClassLabels:
    """Reads the labels of a folder or archive; of an archive the file beside it counts before the one inside.

    A label is the number of a class or a one-hot vector.

    Raises:
        InputError: there are none, they are damaged, or they are no classes 0..n-1.
    """
    beside = labels_path(data)
    path = beside if beside.is_file() or not is_archive(data) else Path(data) / JSON
    content = _parsed(_content(path, data), path)
    pairs = content.get("labels")
    if not isinstance(pairs, list) or not pairs:
        raise InputError(f'{path} holds no list "labels" of pictures and classes; {_REMEDY}')
    of: dict[str, int] = {}
    lengths = set()
    for pair in pairs:
        name, label = _pair(pair, path)
        lengths.add(len(label) if isinstance(label, list) else 0)
        number = _class_number(label, name, path)
        if of.setdefault(name, number) != number:
            raise InputError(f"{path} gives {name} the classes {of[name]} and {number}; {_REMEDY}")
    groups, names = _named_classes(content, path)
    if len(lengths) > 1 or (names and not lengths <= {0, len(names)}):
        raise InputError(f"{path} has labels of different lengths; {_REMEDY}")
    number = len(names) or lengths.pop() or max(of.values()) + 1
    _check_numbers(of, number, bool(names), path)
    return ClassLabels(names or tuple(map(str, range(number))), of, groups)


def _content(path: Path, data: str | Path) -> bytes:
    try:
        size = file_size(path)
        if size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST >> 20} MB; {_REMEDY}")
        with open_file(path) as file:
            return file.read(LARGEST)
    except FileNotFoundError as error:
        raise InputError(
            f"{data} has no {path.name} with the classes of its pictures; write it with "
            "scripts/make_json_labels.py, or give --age_groups to go by the ages in the names"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {explained(error) or path}: {_REMEDY}") from error


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged or no JSON ({str(error)[:80]}); {_REMEDY}") from error
    if not isinstance(content, dict):
        raise InputError(f'{path} holds no list "labels" of pictures and classes; {_REMEDY}')
    return content


def _pair(pair: Any, path: Path) -> tuple[str, Any]:
    if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
        return pair[0].replace("\\", "/"), pair[1]
    raise InputError(f"{path}: {str(pair)[:60]} is no pair of a picture and its class; {_REMEDY}")


def _class_number(label: Any, name: str, path: Path) -> int:
    """The class that a label means."""
    if isinstance(label, list):
        if all(value in (0, 1) for value in label) and sum(label) == 1:
            return label.index(1)
        raise InputError(f"{path}: the label of {name} is a vector that is not one-hot; {_REMEDY}")
    if type(label) is not int or label < 0:
        raise InputError(
            f"{path}: the class {str(label)[:30]} of {name} is no whole number from 0 on; {_REMEDY}"
        )
    return label


def _named_classes(content: Mapping[str, Any], path: Path) -> tuple[AgeGroups | None, tuple[str, ...]]:
    """The groups of ages and the names of the classes, as far as the file tells them."""
    text, names = content.get("age_groups"), content.get("classes")
    groups = None
    if text is not None:
        try:
            groups = parse_age_groups(str(text))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    if names is None:
        return groups, () if groups is None else tuple(groups.names)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{path}: "classes" is no list of names; {_REMEDY}')
    if groups is not None and len(groups) != len(names):
        raise InputError(f"{path} has {len(names)} classes and {len(groups)} age groups; {_REMEDY}")
    return groups, tuple(names)


def _check_numbers(of: Mapping[str, int], number: int, named: bool, path: Path) -> None:
    """Raises ``InputError`` for a class that there is not, or one of nameless classes without a picture."""
    wrong = next((name for name, label in of.items() if label >= number), None)
    if wrong is not None:
        raise InputError(f"{path}: the class {of[wrong]} of {wrong} is not one of 0..{number - 1}; {_REMEDY}")
    used = set(of.values())
    if not named and len(used) < number:  # of the number 10**12 no list is made
        unused = next(label for label in range(number) if label not in used)
        raise InputError(
            f"{path} has classes up to {number - 1} but no picture of the class {unused}; number them from 0 "
            "on without a gap"
        )


# ---------------------------------------------------------------- faces


class LabelledFaces(FaceFolder):
    """Pictures below a folder or in an archive with their classes; samples and batches have ``label``, too.

    ``label`` is int64. Pictures whose ages fall between groups are left out, which is said.

    Args:
        folder: the folder or archive.
        size: side in pixels.
        groups: classes by the ages in the names; None: classes of `dataset.json`.
        min_pictures: the fewest that a class may have.
        more: see :class:`FaceFolder`.

    Attributes:
        classes: the classes and the labels of all pictures that were found.
        label_of: the class of each picture (N,), int64.
        counts: pictures of each class.

    Raises:
        InputError: as :class:`FaceFolder`; there are no labels or they are damaged; pictures without a label,
            labels without a picture; or too few pictures of a class.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int,
        groups: AgeGroups | None = None,
        *,
        min_pictures: int = 1,
        **more: Any,
    ) -> None:
        self._groups = groups
        if groups is not None:
            more["require_age"] = True
        super().__init__(folder, size, **more)
        labels = [self.classes.of[name] for name in names_in(self.folder, self.paths)]
        self.label_of = torch.tensor(labels, dtype=torch.int64)
        self.counts = counted(labels, len(self.classes))
        self.classes.require_pictures(self.counts, min_pictures, self.folder)

    def _scan(self, require_age: bool, official_ages: bool) -> tuple[list[Path], list[float]]:
        """The pictures that have a class; only these are decoded."""
        labels = None if self._groups is not None else read_labels(self.folder)
        paths, ages = super()._scan(require_age, official_ages)
        names = names_in(self.folder, paths)
        if labels is None:
            assert self._groups is not None
            labels = labels_by_age(self.folder, paths, self._groups)
        else:
            self._check_agreement(names, labels)
        self.classes = labels
        kept = [index for index, name in enumerate(names) if name in labels.of]
        if len(kept) < len(paths):
            left = f"{len(paths) - len(kept)} of {len(paths)} pictures"
            note(f"{left} in {self.folder} are left out: no group has their age")
        if not kept and paths:
            labels.require_pictures([0] * len(labels), 1, self.folder)
        return [paths[index] for index in kept], [ages[index] for index in kept]

    def card(self) -> dict[str, Any]:
        classes = [self.classes.of[name] for name in names_in(self.folder, self.paths)]
        counts = counted(classes, len(self.classes))
        return {**super().card(), "classes": dict(zip(self.classes.names, counts, strict=True))}

    def _check_agreement(self, names: Sequence[str], labels: ClassLabels) -> None:
        """Raises ``InputError`` for labels without a picture, and for pictures that should have one."""
        there = set(names)
        missing = [name for name in labels.of if name not in there]
        if missing and self._select is None:
            raise InputError(
                f"of the pictures that the labels of {self.folder} name {len(missing)} are not there, the "
                f"first: {missing[0]}; add them, or make the labels anew with scripts/make_json_labels.py"
            )
        bare = [name for name in sorted(there - labels.of.keys()) if not _in_a_gap(name, labels.age_groups)]
        if bare:
            raise InputError(
                f"{len(bare)} of {len(names)} pictures in {self.folder} have no label, the first: {bare[0]}; "
                "remove them, or make the labels anew with scripts/make_json_labels.py"
            )

    def __getitem__(self, item: Item) -> dict[str, Any]:
        sample = super().__getitem__(item)
        return {**sample, "label": self.label_of[sample["index"]]}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """As in :class:`FaceFolder`, with ``label`` (B,) int64."""
        batch = super().batch(items)
        return {**batch, "label": self.label_of[batch["index"]]}


def _in_a_gap(name: str, groups: AgeGroups | None) -> bool:
    age = None if groups is None else _age_in(name)
    return groups is not None and age is not None and groups.index(age) is None
