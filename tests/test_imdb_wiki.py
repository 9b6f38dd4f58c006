"""IMDB-WIKI to a data set: ages, filters, cuts, resuming, and tables of another layout."""

import csv
import os
import signal
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import ROOT, run
from inference_toys import files_below, make_photo, pixels
from PIL import Image
from scipy.io import savemat

from datasets.imdb_wiki import metadata
from datasets.imdb_wiki.metadata import age_at_photo, birth_date
from datasets.labels import LabelledFaces
from utils.age_groups import parse_age_groups
from utils.errors import InputError

DEMO_FACE = next((ROOT / "assets" / "demo_person" / "train").glob("*.*"))
DATENUM = 366 + 693_596  # 1900-01-01 as MATLAB counts
FACE = {"score": 4.3, "second": np.nan, "box": (11.0, 21.0, 30.0, 40.0)}
NAMES = {
    "imdb": "{folder:02d}/nm000000{row}_rm12482{row}_{born}_{taken}.jpg",
    "wiki": "{folder:02d}/1000021{row}_{born}_{taken}.jpg",
}


def cells(values: Sequence[Any]) -> np.ndarray:
    """A cell array (1, N)."""
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


def columns(collection: str, people: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of a table as MATLAB wrote them."""
    files = [
        NAMES[collection].format(folder=row % 2, row=row, born=person["born"], taken=person["taken"])
        for row, person in enumerate(people)
    ]
    faces = [{**FACE, **person} for person in people]
    boxes = np.empty((1, len(people)), object)
    for row, face in enumerate(faces):
        boxes[0, row] = np.array([face["box"]])
    content = {
        "dob": np.array([[face.get("dob", DATENUM) for face in faces]], np.int32),
        "photo_taken": np.array([[face["taken"] for face in faces]], np.uint16),
        "full_path": cells([face.get("file", file) for face, file in zip(faces, files, strict=True)]),
        "gender": np.array([[1.0] * len(faces)]),
        "name": cells(["Ada Lovelace"] * (len(faces) - 1) + [""]),
        "face_location": boxes,
        "face_score": np.array([[face["score"] for face in faces]]),
        "second_face_score": np.array([[face["second"] for face in faces]]),
    }
    if collection == "imdb":
        content |= {"celeb_names": cells(["Ada Lovelace"]), "celeb_id": np.ones((1, len(faces)), np.uint16)}
    return content


def make_collection(
    folder: Path, collection: str, people: Sequence[Mapping[str, Any]], size: tuple[int, int] = (60, 60)
) -> Path:
    """Writes the table and the pictures of a collection as its authors packed them."""
    content = columns(collection, people)
    for row, file in enumerate(content["full_path"][0]):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        make_photo(folder / "picture.png", row, size=60)
        Image.open(folder / "picture.png").resize(size).save(folder / file, quality=95)
        (folder / "picture.png").unlink()
    savemat(folder / f"{collection}.mat", {collection: content}, do_compression=True)
    return folder / f"{collection}.mat"


PEOPLE: list[dict[str, Any]] = [
    {"born": "1950-6-3", "taken": 1980},  # 30 years
    {"born": "1950-8-20", "taken": 1980, "score": 0.4},  # 29
    {"born": "1950-1-1", "taken": 1980, "score": -np.inf},
    {"born": "1950-1-1", "taken": 1980, "second": 2.5},
    {"born": "1950-1-1", "taken": 1940},
    {"born": "1950-1-1", "taken": 2000, "box": (1.0, 1.0, 60.0, 60.0)},  # 50
]
KEPT = {"30_1000000.png", "29_1000001.png", "50_1000005.png"}


@pytest.fixture
def imdb(tmp_path: Path) -> Path:
    return make_collection(tmp_path / "imdb_crop", "imdb", PEOPLE)


def prepare(table: Path, output: Path, *more: str) -> Any:
    return run(
        "prepare_imdb_wiki",
        f"--metadata={table}",
        f"--output_dir={output}",
        "--size=32",
        "--num_workers=1",
        *more,
    )


def manifest(output: Path) -> list[dict[str, str]]:
    with (output / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def faces_in(output: Path) -> set[str]:
    return files_below(output) - {"manifest.csv"}


# ---------------------------------------------------------------- ages


@pytest.mark.parametrize(
    ("file", "year", "age"),
    [
        ("01/nm0000001_rm124825600_1899-5-10_1968.jpg", 1968, 69),
        ("17/10000217_1981-05-05_2009.jpg", 2009, 28),
        ("17/10000217_1981-07-01_2009.jpg", 2009, 28),
        ("17/10000217_1981-07-02_2009.jpg", 2009, 27),
        ("17/10000217_1981-12-31_2009.jpg", 2009, 27),
        ("17/10000217_1981-00-00_2009.jpg", 2009, 28),
        ("17/10000217_1981-07-00_2009.jpg", 2009, 28),
        ("17/10000217_1981-8-0_2009.jpg", 2009, 27),
        ("17/10000217_2050-01-01_2009.jpg", 2009, -41),
        ("17/10000217_0000-00-00_2009.jpg", 2009, 109),  # by the day number, as all below
        ("17/10000217_1981-13-01_2009.jpg", 2009, 109),
        ("17/portrait.jpg", 1910, 10),
    ],
)
def test_age_in_the_middle_of_the_year_of_the_photo(file: str, year: int, age: int) -> None:
    assert age_at_photo(file, DATENUM, year) == age


def test_day_numbers_of_matlab() -> None:
    assert birth_date("a.jpg", 693_726) == (1899, 5, 10)
    assert birth_date("a.jpg", 723_671.75) == (1981, 5, 5)
    for number in (0, 366, -1e300, 1e300, np.nan, np.inf):
        assert birth_date("a.jpg", number) is None
    for year in (np.nan, np.inf, 1e300, -1, 0):
        assert age_at_photo("a_1950-1-1_1980.jpg", DATENUM, year) is None


# ---------------------------------------------------------------- the command


def test_every_photo_has_a_verdict_and_a_face_or_none(imdb: Path, tmp_path: Path) -> None:
    before = {name: zlib.crc32((imdb.parent / name).read_bytes()) for name in files_below(imdb.parent)}
    result = prepare(imdb, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert faces_in(tmp_path / "out") == KEPT
    rows = manifest(tmp_path / "out")
    assert [row["verdict"] for row in rows] == ["kept", "kept", "no face", "second face", "age", "kept"]
    assert [row["result"] for row in rows if row["result"]] == sorted(KEPT, key=lambda name: name[3:])
    assert (rows[2]["score"], rows[4]["age"], rows[5]["row"]) == ("-inf", "-10", "5")
    assert "21-30 2, 31-40 0, 41-50 1" in result.stdout
    assert before == {name: zlib.crc32((imdb.parent / name).read_bytes()) for name in before}
    data = LabelledFaces(tmp_path / "out", 32, parse_age_groups("21-30,41-50"))
    assert data.counts == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "verdicts"),
    [
        (["--second_face"], ["kept", "kept", "no face", "kept", "age", "kept"]),
        (["--min_face_score=1"], ["kept", "low score", "no face", "second face", "age", "kept"]),
        (["--min_age=30", "--max_age=49"], ["kept", "age", "no face", "second face", "age", "age"]),
    ],
)
def test_filters(imdb: Path, tmp_path: Path, arguments: list[str], verdicts: list[str]) -> None:
    assert prepare(imdb, tmp_path / "out", *arguments).returncode == 0
    assert [row["verdict"] for row in manifest(tmp_path / "out")] == verdicts


def test_both_collections_in_one_data_set(imdb: Path, tmp_path: Path) -> None:
    wiki = make_collection(tmp_path / "wiki_crop", "wiki", [{"born": "1950-06-03", "taken": 1980}])
    output = tmp_path / "out"
    arguments = [
        "--metadata",
        str(imdb),
        str(wiki),
        f"--output_dir={output}",
        "--num_workers=2",
        "--format=jpg",
    ]
    assert run("prepare_imdb_wiki", *arguments).returncode == 0
    assert {name[:-4] for name in faces_in(output)} == {name[:-4] for name in KEPT} | {"30_2000000"}
    assert Image.open(output / "30_2000000.jpg").size == (256, 256)
    result = run("prepare_imdb_wiki", "--metadata", str(wiki), str(wiki), f"--output_dir={output}")
    assert result.returncode == 2 and "second table of the collection wiki" in result.stderr


def test_crops_are_taken_whole_and_square(tmp_path: Path) -> None:
    table = make_collection(tmp_path / "crop", "wiki", [{"born": "1950-06-03", "taken": 1980}], size=(90, 60))
    assert prepare(table, tmp_path / "out", "--size=60").returncode == 0
    source = next((tmp_path / "crop").rglob("*.jpg"))
    assert (pixels(tmp_path / "out" / "30_2000000.png") == pixels(source)[:, 15:75]).all()


def test_full_photos_are_cut_about_the_box(tmp_path: Path) -> None:
    people = [
        {"born": "1950-6-3", "taken": 1980},
        {"born": "1950-6-3", "taken": 1980, "box": (80, 1, 99, 20)},
    ]
    table = make_collection(tmp_path / "imdb", "imdb", people, size=(100, 80))
    more = ["--pictures=full", "--margin=0.3"]
    assert prepare(table, tmp_path / "out", *more).returncode == 0
    first, second = (pixels(tmp_path / "out" / f"30_100000{row}.png") for row in (0, 1))
    photos = sorted((tmp_path / "imdb").rglob("*.jpg"), key=lambda path: path.name)
    # The box of 20 pixels from (10, 20) on, and 6 on every side; MATLAB's edges are the pixels 11 and 30.
    assert np.abs(first - np.asarray(Image.open(photos[0]).crop((4, 14, 36, 46))).astype(int)).max() <= 6
    # Beyond the photo it goes on mirrored.
    assert np.abs(second[:6] - second[6:12][::-1]).mean() < 3
    outside = {"born": "1950-6-3", "taken": 1980, "box": (200, 200, 220, 220)}
    table = make_collection(tmp_path / "outside", "imdb", [outside, *people], size=(100, 80))
    assert prepare(table, tmp_path / "out_2", *more).returncode == 0
    assert manifest(tmp_path / "out_2")[0]["reason"].endswith("is not in the photo")


def test_faces_are_aligned_by_their_landmarks(tmp_path: Path) -> None:
    table = make_collection(tmp_path / "crop", "wiki", [{"born": "1950-06-03", "taken": 1980}] * 2)
    face = Image.open(DEMO_FACE).convert("RGB").resize((120, 120))
    photo = Image.new("RGB", (180, 180), "gray")
    photo.paste(face, (30, 30))
    sources = sorted((tmp_path / "crop").rglob("*.jpg"))
    photo.save(sources[0], quality=95)
    result = prepare(table, tmp_path / "out", "--align", "--size=64")
    assert result.returncode == 0, result.stderr
    assert [row["verdict"] for row in manifest(tmp_path / "out")] == ["kept", "no landmarks"]
    assert prepare(table, tmp_path / "out", "--align", "--size=64").returncode == 0
    aligned = pixels(tmp_path / "out" / "30_2000000.png").astype(float)
    whole = np.asarray(face.resize((64, 64))).astype(float)
    assert np.corrcoef(aligned.ravel(), whole.ravel())[0, 1] > 0.8


# ---------------------------------------------------------------- results that are there


def test_the_same_command_continues(imdb: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    prepare(imdb, output)
    whole = {name: (output / name).read_bytes() for name in files_below(output)}
    (output / "30_1000000.png").unlink()
    (output / "manifest.csv").unlink()
    kept, other = output / "29_1000001.png", output / "50_1000005.png"
    before = kept.stat().st_ino
    other_source = next(imdb.parent.rglob("nm0000005*"))
    make_photo(other_source, 77, size=60)  # the photo is another one now
    assert prepare(imdb, output).returncode == 0
    assert kept.stat().st_ino == before
    assert {name for name in whole if (output / name).read_bytes() != whole[name]} == {other.name}
    assert prepare(imdb, output, "--size=16").returncode == 0
    assert {Image.open(output / name).size for name in KEPT} == {(16, 16)}


def test_what_others_made_stays(imdb: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make_photo(output / "30_1000000.png")
    foreign = (output / "30_1000000.png").read_bytes()
    result = prepare(imdb, output)
    assert result.returncode == 2 and "1 faces are not written" in result.stderr
    assert (output / "30_1000000.png").read_bytes() == foreign and faces_in(output) == KEPT
    assert prepare(imdb, output, "--overwrite").returncode == 0
    assert (output / "30_1000000.png").read_bytes() != foreign


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("34_0.png", b"x", "34_0.png is no result of this command"),
        ("deeper/30_1000000.png", b"x", "is no result of this command"),
        ("manifest.csv", b"a,b\n1,2\n", "manifest.csv was not made by this command"),
    ],
)
def test_nothing_else_lies_among_the_results(
    imdb: Path, tmp_path: Path, file: str, content: bytes, words: str
) -> None:
    path = tmp_path / "out" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    result = prepare(imdb, tmp_path / "out")
    assert result.returncode == 2 and words in result.stderr
    assert files_below(tmp_path / "out") == {file} and path.read_bytes() == content


def test_results_of_other_filters_are_no_results(imdb: Path, tmp_path: Path) -> None:
    assert prepare(imdb, tmp_path / "out").returncode == 0
    result = prepare(imdb, tmp_path / "out", "--max_age=40")
    assert result.returncode == 2 and "50_1000005.png is no result" in result.stderr
    assert faces_in(tmp_path / "out") == KEPT


def test_photos_are_never_results(imdb: Path, tmp_path: Path) -> None:
    for output in (imdb.parent, tmp_path):
        before = files_below(tmp_path)
        result = prepare(imdb, output)
        assert result.returncode == 2 and "holds the photos themselves" in result.stderr
        assert files_below(tmp_path) == before


def test_bad_photos_are_verdicts(imdb: Path, tmp_path: Path) -> None:
    next(imdb.parent.rglob("nm0000000*")).unlink()
    next(imdb.parent.rglob("nm0000001*")).write_bytes(b"no picture")
    assert prepare(imdb, tmp_path / "out").returncode == 0
    rows = manifest(tmp_path / "out")
    assert [row["verdict"] for row in rows][:2] == ["missing", "unreadable"]
    assert "cannot identify" in rows[1]["reason"]


def test_paths_that_lead_out_of_the_folder(tmp_path: Path) -> None:
    secret = make_photo(tmp_path / "a_1950-1-1_1980.png")
    names = ["../a_1950-1-1_1980.png", str(secret), "00/\0_1950-1-1_1980.png", "00/" + "a" * 300]
    people = [{"born": "1950-6-3", "taken": 1980}] * 5
    content = columns("wiki", people)
    make_collection(tmp_path / "crop", "wiki", people)
    content["full_path"] = cells([*names, content["full_path"][0, 4]])
    savemat(tmp_path / "crop" / "wiki.mat", {"wiki": content})
    result = prepare(tmp_path / "crop" / "wiki.mat", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert [row["verdict"] for row in manifest(tmp_path / "out")] == ["missing"] * 4 + ["kept"]


def test_pictures_in_another_folder(imdb: Path, tmp_path: Path) -> None:
    os.renames(imdb, tmp_path / "tables" / "imdb.mat")
    moved = tmp_path / "tables" / "imdb.mat"
    result = prepare(moved, tmp_path / "out")
    assert result.returncode == 2 and "none of the 3 pictures" in result.stderr
    assert "--pictures_dir" in result.stderr
    assert prepare(moved, tmp_path / "out", f"--pictures_dir={imdb.parent}").returncode == 0


# ---------------------------------------------------------------- tables of another layout


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {"imdb": {key: value for key, value in content.items() if key != name}}


def with_column(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {"imdb": {**content, name: value}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: {"faces": content}, "no table imdb or wiki"),
        (lambda content: {"imdb": np.ones((1, 3))}, "imdb is no table"),
        (lambda content: {"imdb": cells(["a", "b"])}, "imdb is no table"),
        (without("full_path"), "full_path is missing"),
        (without("photo_taken"), "photo_taken is missing"),
        (without("face_location"), "face_location is missing"),
        (with_column("face_score", np.ones((1, 2))), "face_score has 2 entries for 6"),
        (with_column("dob", cells(["1"] * 6)), "dob holds no numbers"),
        (with_column("full_path", np.ones((1, 6))), "full_path holds no texts"),
        (with_column("full_path", np.empty((1, 0), object)), "full_path holds no texts"),
        (with_column("face_location", cells(["a"] * 6)), "face_location holds no boxes"),
    ],
)
def test_another_layout_is_one_sentence(tmp_path: Path, change: Any, words: str) -> None:
    table = tmp_path / "imdb.mat"
    savemat(table, change(columns("imdb", PEOPLE)))
    result = prepare(table, tmp_path / "out", "--pictures=full")
    assert result.returncode == 2 and result.stderr.count("error: ") == 1, result.stderr
    assert words in result.stderr and str(table) in result.stderr
    assert files_below(tmp_path) == {"imdb.mat"}


def test_damaged_tables_are_one_sentence(imdb: Path, tmp_path: Path) -> None:
    sound = imdb.read_bytes()
    random = np.random.default_rng(3)
    copies = [b"", b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400), sound[:200], sound[:-40]]
    for _ in range(40):
        changed = bytearray(sound)
        for position in random.integers(0, len(sound), 3):
            changed[position] = random.integers(0, 256)
        copies.append(bytes(changed))
    refused = 0
    for content in copies:
        (tmp_path / "damaged.mat").write_bytes(content)
        try:
            metadata._portraits(tmp_path / "damaged.mat", boxes=True)  # packed ones have checksums
        except InputError as error:
            assert "damaged.mat" in str(error)
            refused += 1
    assert refused > len(copies) / 2


def die(*_: Any) -> None:
    """Ends a process as a crash in a library does."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only a forked process has what is patched")
def test_a_table_that_crashes_its_reader_is_one_sentence(
    imdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "_portraits", die)
    result = prepare(imdb, tmp_path / "out")
    assert result.returncode == 2 and f"{imdb} could not be read: it is damaged" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--min_age=50", "--max_age=40"], "--min_age=50"),
        (["--max_age=130"], "--max_age"),
        (["--size=5"], "--size=5"),
        (["--margin=11"], "--margin=11"),
        (["--metadata={folder}/none.mat"], "none.mat: no such file"),
        (["--metadata={folder}"], "no such file"),
        (["--max_age=20"], "not one photo"),
    ],
)
def test_wrong_command_lines(imdb: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = prepare(imdb, tmp_path / "out", *(word.format(folder=imdb.parent) for word in arguments))
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr
