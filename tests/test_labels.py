"""Labels of classes: NVIDIA's dataset.json written and read, faces with labels, and files that are wrong."""

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run
from inference_toys import files_below, make_photo

from datasets import labels as module
from datasets.labels import JSON, LabelledFaces, labels_path, read_labels
from training.batches import BatchSource
from utils.age_groups import parse_age_groups
from utils.errors import InputError
from utils.files.writing import write_json

GROUPS = "0-10,11-20,41-60"
AGES = (3, 10.7, 15, 20, 45, 60)  # of these groups, two each
GAP = 30  # of none


def make_faces(folder: Path, ages: Sequence[float] = AGES) -> Path:
    for index, age in enumerate(ages):
        make_photo(folder / f"{age:g}_{index}.png", index, size=16)
    return folder


def make_class_folders(folder: Path, names: Sequence[str]) -> Path:
    for index, name in enumerate(names):
        for number in range(index + 1):
            make_photo(folder / name / f"face {number}.png", 10 * index + number, size=16)
    return folder


def zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return archive


def written(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the command


def test_sub_folders_are_classes_by_the_numbers_that_begin_their_names(tmp_path: Path) -> None:
    faces = make_class_folders(tmp_path / "faces", ["young", "100", "9", "11-20", "baby"])
    result = run("make_json_labels", f"--input_folder={faces}", f"--output_folder={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    content = written(tmp_path / "out" / JSON)
    assert content["classes"] == ["9", "11-20", "100", "baby", "young"] and "age_groups" not in content
    assert ["young/face 0.png", 4] in content["labels"] and len(content["labels"]) == 15
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:6]] == ["3", "4", "2", "5", "1"]
    assert not (faces / JSON).exists() and "face 0" not in result.stdout
    assert "young/face 0.png  young" in run(
        "make_json_labels", f"--input_folder={faces}", "--verbose"
    ).stdout.replace("\\", "/")
    assert (faces / JSON).read_bytes() == (tmp_path / "out" / JSON).read_bytes()


def test_folders_named_as_age_groups_are_age_groups(tmp_path: Path) -> None:
    faces = make_class_folders(tmp_path / "faces", ["41-60", "0-10", "11-20"])
    assert run("make_json_labels", f"--input_folder={faces}").returncode == 0
    assert written(faces / JSON)["age_groups"] == GROUPS
    data = LabelledFaces(faces, 16)
    assert data.counts == [2, 3, 1] and data.classes.age_groups == parse_age_groups(GROUPS)


def test_ages_in_names_make_groups_and_a_gap_is_counted(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces", (*AGES, GAP))
    make_photo(faces / "deeper" / "12_99.png", size=16)
    result = run("make_json_labels", f"--input_folder={faces}", f"--age_groups={GROUPS}")
    assert result.returncode == 0, result.stderr
    assert "1 of 8 pictures have no class" in result.stdout
    content = written(faces / JSON)
    assert content["age_groups"] == GROUPS
    assert dict(content["labels"]) == {
        **{f"{age:g}_{index}.png": index // 2 for index, age in enumerate(AGES)},
        "deeper/12_99.png": 1,
    }


def test_without_groups_they_are_the_ten_decades(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces", range(5, 105, 10))
    assert run("make_json_labels", f"--input_folder={faces}").returncode == 0
    labels = read_labels(faces)
    assert labels.counts == [1] * 10 and labels.names[3] == "31-40"


def test_an_archive_has_its_labels_inside_or_beside(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces")
    run("make_json_labels", f"--input_folder={faces}", f"--age_groups={GROUPS}")
    archive = zipped(faces)
    inside, folder = LabelledFaces(archive, 16), LabelledFaces(faces, 16)
    assert torch.equal(inside.label_of, folder.label_of) and inside.classes == folder.classes
    before = archive.read_bytes()
    assert run("make_json_labels", f"--input_folder={archive}", "--age_groups=0-30,31-100").returncode == 0
    assert labels_path(archive) == tmp_path / "faces.json" and archive.read_bytes() == before
    assert LabelledFaces(archive, 16).counts == [4, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--age_groups=0-10,11-20,41-60", "--min_pictures=3"], ["0-10", "2"]),
        (["--age_groups=0-10,11-20,41-60,91-100"], ["91-100", "0"]),
        (["--age_groups=ten"], ["--age_groups", "'ten'"]),
        (["--output_folder={faces}/3_0.png"], ["--output_folder", "is a file"]),
    ],
)
def test_labels_that_cannot_be_made(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    faces = make_faces(tmp_path / "faces")
    refused(tmp_path, [f"--input_folder={faces}", *(word.format(faces=faces) for word in arguments)], words)


def test_pictures_that_have_no_class(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces")
    make_photo(faces / "portrait.png", size=16)
    refused(tmp_path, [f"--input_folder={faces}"], ["1 of 7", "portrait.png"])
    folders = make_class_folders(tmp_path / "folders", ["1", "2"])
    make_photo(folders / "beside.png", size=16)
    refused(tmp_path, [f"--input_folder={folders}"], ["beside.png", "--age_groups"])
    (folders / "beside.png").unlink()
    (folders / "3").mkdir()
    refused(tmp_path, [f"--input_folder={folders}"], ["class 3"])
    single = make_class_folders(tmp_path / "single", ["train"])
    refused(tmp_path, [f"--input_folder={single}"], ["fewer than two", "--age_groups"])
    refused(tmp_path, [f"--input_folder={tmp_path / 'none'}"], ["--input_folder", "none"])


def refused(tmp_path: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    before = files_below(tmp_path)
    result = run("make_json_labels", *arguments)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2 and len(errors) == 1, result.stderr
    assert all(word in errors[0] for word in words), errors[0]
    assert files_below(tmp_path) == before


# ---------------------------------------------------------------- faces


@pytest.mark.parametrize("cache", [True, False])
def test_labels_follow_their_pictures_through_batches(tmp_path: Path, cache: bool) -> None:
    faces = make_faces(tmp_path / "faces", (*AGES, GAP))
    data = LabelledFaces(faces, 16, parse_age_groups(GROUPS), cache=cache)
    assert len(data) == 6 and data.label_of.dtype == torch.int64 and data.counts == [2, 2, 2]
    assert all(data[i]["label"] == data.classes.age_groups.index(data[i]["age"]) for i in range(6))
    source = BatchSource(data, 4, seed=3)
    for _ in range(3):
        batch = source.next()
        assert batch["label"].tolist() == [
            data.classes.age_groups.index(float(age)) for age in batch["age"]
        ] and batch["label"].shape == (4,)
    assert source.share_waited() >= 0 and all(Path(name).parent == faces for name in source.newest_files())


def test_labels_follow_their_pictures_through_workers(tmp_path: Path) -> None:
    data = LabelledFaces(make_faces(tmp_path / "faces"), 16, parse_age_groups(GROUPS), cache=False)
    batch = BatchSource(data, 4, workers=1).next()
    assert torch.equal(batch["label"], data.label_of[batch["index"]])


def test_a_damaged_picture_takes_its_label_with_it(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces", [4, 5, 6, 7, 8, 9, 12, 13, 14, 15])
    (faces / "4_0.png").write_bytes(b"none")
    data = LabelledFaces(faces, 16, parse_age_groups("0-10,11-20"))
    assert data.counts == [5, 4] and data.label_of.tolist() == [int(age > 10) for age in data.ages]


def test_a_gap_of_the_file_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = make_faces(tmp_path / "faces", (*AGES, GAP))
    run("make_json_labels", f"--input_folder={faces}", f"--age_groups={GROUPS}")
    assert len(LabelledFaces(faces, 16)) == 6
    assert "1 of 7 pictures" in capsys.readouterr().err


def test_one_hot_labels_of_nvidia(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces")
    names = [f"{age:g}_{index}.png" for index, age in enumerate(AGES)]
    vectors = [[float(column == index % 3) for column in range(3)] for index in range(6)]
    write_json({"labels": list(zip(names, vectors, strict=True))}, faces / JSON)
    data = LabelledFaces(faces, 16)
    assert data.classes.names == ("0", "1", "2") and data.classes.age_groups is None
    assert {path.name: label for path, label in zip(data.paths, data.label_of.tolist(), strict=True)} == {
        name: index % 3 for index, name in enumerate(names)
    }


def test_a_share_of_the_pictures_keeps_its_labels(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces")
    run("make_json_labels", f"--input_folder={faces}", f"--age_groups={GROUPS}")
    data = LabelledFaces(faces, 16, select=lambda path: path.name[0] in "314")
    assert data.counts == [2, 1, 1]


def test_too_few_pictures_of_a_group_are_named(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces")
    with pytest.raises(InputError, match=r"age group 11-19: 1, at least 2"):
        LabelledFaces(faces, 16, parse_age_groups("0-10,11-19"), min_pictures=2)
    with pytest.raises(InputError, match=r"age group 61-70: 0, at least 1"):
        LabelledFaces(faces, 16, parse_age_groups("61-70,71-80"))


# ---------------------------------------------------------------- files that are wrong

SOUND = {"labels": [[f"{age:g}_{index}.png", index // 2] for index, age in enumerate(AGES)]}


def changed(index: int, label: Any) -> dict[str, Any]:
    labels = [list(pair) for pair in SOUND["labels"]]
    labels[index][1] = label
    return {"labels": labels}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\x00\x81", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"labels": ' + b"9" * 5000 + b"}", "damaged"),
        ([], "no list"),
        ({"labels": None}, "no list"),
        ({"labels": {"a.png": 1}}, "no list"),
        ({"labels": ["3_0.png"]}, "no pair"),
        ({"labels": [[1, 2]]}, "no pair"),
        (changed(0, 0.5), "no whole number"),
        (changed(0, -1), "no whole number"),
        (changed(0, True), "no whole number"),
        (changed(0, "old"), "no whole number"),
        (changed(0, [0.5, 0.5]), "not one-hot"),
        (changed(0, [0, 0]), "not one-hot"),
        (changed(0, [1, 0, 0]), "different lengths"),
        (changed(0, 10**12), "no picture of the class 3"),
        (changed(5, 4), "no picture of the class 3"),
        ({**SOUND, "age_groups": "0-10,11-20"}, "class 2 of"),
        ({**SOUND, "age_groups": "old"}, "'old'"),
        ({**SOUND, "age_groups": GROUPS, "classes": ["a", "b"]}, "2 classes and 3"),
        ({**SOUND, "classes": "abc"}, '"classes"'),
        ({"labels": [*SOUND["labels"], ["3_0.png", 2]]}, "classes 0 and 2"),
        ({"labels": [*SOUND["labels"], ["gone.png", 2]]}, "gone.png"),
        ({"labels": SOUND["labels"][:5]}, "60_5.png"),
        ({"labels": SOUND["labels"][:5], "age_groups": GROUPS}, "60_5.png"),
    ],
)
@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_wrong_labels_are_one_sentence(
    tmp_path: Path, content: Any, words: str, pack: Callable[[Path], Path]
) -> None:
    faces = make_faces(tmp_path / "faces")
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (faces / JSON).write_bytes(data)
    with pytest.raises(InputError, match="faces") as caught:
        LabelledFaces(pack(faces), 16)
    assert words in str(caught.value)


def test_the_sound_file_of_these_tests_is_sound(tmp_path: Path) -> None:
    faces = make_faces(tmp_path / "faces")
    (faces / JSON).write_text(json.dumps(SOUND))
    assert LabelledFaces(faces, 16).counts == [2, 2, 2]


def test_no_labels_and_too_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = make_faces(tmp_path / "faces")
    for data in (faces, zipped(faces)):
        with pytest.raises(InputError, match=r"no dataset\.json .*make_json_labels.*--age_groups"):
            LabelledFaces(data, 16)
    (faces / JSON).write_text(json.dumps(SOUND))
    with monkeypatch.context() as patch, pytest.raises(InputError, match="larger than"):
        patch.setattr(module, "LARGEST", 100)
        LabelledFaces(faces, 16)
    (faces / JSON).unlink()
    (faces / JSON).mkdir()
    with pytest.raises(InputError, match=r"cannot read .*dataset\.json"):
        LabelledFaces(faces, 16)
