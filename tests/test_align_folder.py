"""A folder of photos to aligned faces: every photo has its own result, which knows what it was made of."""

import itertools
import os
import random
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from picture_files import encoded, picture
from PIL import Image

from utils.errors import InputError
from utils.faces import align_folder as module
from utils.faces.align_folder import Outcome, Pair, Settings, align_file, align_folder, plan, report
from utils.faces.alignment import CROPS, Face
from utils.pictures.originals import read_original
from utils.pictures.reading import read_pixels

SETTINGS = Settings(32, CROPS["tight"], all_faces=True)


@pytest.fixture(autouse=True)
def faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that needs no networks: a picture has as many faces as its height says."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48], points[54] = (20, 20), (40, 20), (24, 40), (36, 40)

    def detect(pixels: np.ndarray, every: bool = False) -> list[Face]:
        return [Face(points + number, score=1.0, width=20.0) for number in range(len(pixels) - 48)]

    monkeypatch.setattr(module, "detect_faces", detect)
    monkeypatch.setattr(module, "predictor_path", lambda: None)


def photo(path: Path, faces: int = 1, shade: int = 0) -> Path:
    """Writes a photo that shows so many faces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture(64, 48 + faces).point(lambda value: min(255, value + shade))
    path.write_bytes(encoded(image, "PNG"))
    return path


def go(folder: Path, output: Path, settings: Settings = SETTINGS) -> list[Outcome]:
    """Aligns a folder."""
    outcomes: list[Outcome] = []
    align_folder(plan(folder, output), settings, 1, outcomes.append)
    return outcomes


def statuses(outcomes: list[Outcome]) -> dict[str, int]:
    """How many photos had each outcome."""
    return dict(Counter(outcome.status for outcome in outcomes))


def test_no_two_results_share_a_name(tmp_path: Path) -> None:
    stems = (
        "a",
        "A",
        "a_1",
        "a_face_1",
        "a_jpg",
        "a_png",
        "é_1",
        unicodedata.normalize("NFD", "é"),
        "IMG_1",
        "IMG_1_1",
    )
    names = [stem + suffix for stem in stems for suffix in (".jpg", ".JPG", ".jpeg", ".png")]
    for seed in range(60):
        draws = random.Random(seed)
        root = tmp_path / str(seed)
        chosen = draws.sample(names, draws.randrange(1, 14))
        for name in chosen:
            (root / draws.choice((".", "sub"))).mkdir(parents=True, exist_ok=True)
            (root / draws.choice((".", "sub")) / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        pairs = plan(root, tmp_path / "out")
        assert pairs == plan(root, tmp_path / "out") and len(pairs) == len(chosen)
        results = [
            pair.target.with_stem(f"{pair.further}{number}") if number else pair.target
            for pair, number in itertools.product(pairs, range(13))
        ]
        keys = {str(path).casefold() for path in results}
        assert len({unicodedata.normalize("NFC", key) for key in keys}) == len(results)


def test_names_stay_plain_where_they_can(tmp_path: Path) -> None:
    for name in ("a.JPG", "a.Jpg", "a.jpg", "b.png", "sub/b.jpg", "c_1.jpg", "c.jpg"):
        photo(tmp_path / "p" / name)
    pairs = plan(tmp_path / "p", tmp_path / "o")
    assert [(str(pair.target.relative_to(tmp_path / "o")), pair.further) for pair in pairs] == [
        ("a.png", "a_"),
        ("a_jpg.png", "a_jpg_face_"),
        ("a_jpg_2.png", "a_jpg_2_"),
        ("b.png", "b_"),
        ("c.png", "c_face_"),
        ("c_1.png", "c_1_"),
        ("sub/b.png", "b_"),
    ]
    assert [pair.target.name for pair in plan(tmp_path / "p" / "b.png", tmp_path / "o")] == ["b.png"]


def test_results_are_made_again_when_anything_differs(tmp_path: Path) -> None:
    folder, out = tmp_path / "p", tmp_path / "o"
    photo(folder / "a.png", 2)
    assert statuses(go(folder, out)) == {"aligned": 1}
    assert sorted(os.listdir(out)) == ["a.png", "a_1.png"]
    made = (out / "a.png").read_bytes()
    for same in (SETTINGS, replace(SETTINGS, all_faces=False)):
        assert statuses(go(folder, out, same)) == {"exists": 1}
    for other in (
        replace(SETTINGS, size=48),
        replace(SETTINGS, crop=CROPS["ffhq"]),
        replace(SETTINGS, crop=replace(CROPS["tight"], k=0.25)),
        replace(SETTINGS, all_faces=False, size=40),
        SETTINGS,
    ):
        assert statuses(go(folder, out, other)) == {"aligned": 1}
        assert Image.open(out / "a.png").size == (other.size, other.size)
        assert statuses(go(folder, out, other)) == {"exists": 1}
    assert (out / "a.png").read_bytes() == made
    photo(folder / "a.png", 1, shade=9)  # another photo of the same name, with fewer faces
    assert statuses(go(folder, out)) == {"aligned": 1} and os.listdir(out) == ["a.png"]
    photo(folder / "a.jpg", 1, shade=30)  # takes the first one's name
    assert statuses(go(folder, out)) == {"aligned": 2}
    assert statuses(go(folder, out)) == {"exists": 2}
    (folder / "a.jpg").unlink()
    go(folder, out)
    photo(tmp_path / "q" / "a.png", 1, shade=9)
    assert statuses(go(tmp_path / "q", out)) == {"exists": 1}


def test_files_of_others_stay(tmp_path: Path) -> None:
    folder, out = tmp_path / "p", tmp_path / "o"
    photo(folder / "a.png", 3)
    photo(folder / "b.png")
    photo(folder / "c.png")
    foreign = photo(out / "a_1.png").read_bytes()
    photo(out / "b.png")
    (out / "c.png").mkdir()
    outcomes = go(folder, out)
    assert statuses(outcomes) == {"aligned": 1, "kept": 2}
    assert "a_1.png was not made by this command" in outcomes[0].detail
    assert (out / "a_1.png").read_bytes() == foreign and (out / "b.png").stat().st_size == len(foreign)
    assert "--overwrite" in outcomes[1].detail and "\n" not in str(outcomes[1])
    with pytest.raises(InputError, match="2 kept; the lines above say why"):
        report(Counter(statuses(outcomes)), folder, 0.0)
    again = go(folder, out, replace(SETTINGS, overwrite=True))
    assert statuses(again) == {"aligned": 2, "not written": 1}  # a folder is in the way


def test_results_never_land_on_photos_and_are_no_photos(tmp_path: Path) -> None:
    photo(tmp_path / "o" / "a.png")
    photo(tmp_path / "o" / "p" / "o" / "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "o")
    for output in (tmp_path / "o", tmp_path / "link"):
        with pytest.raises(InputError, match="cannot go into the folder of the photos"):
            plan(tmp_path / "o", output)
    photo(tmp_path / "q" / "q" / "a.png")
    photo(tmp_path / "q" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "q").symlink_to(tmp_path / "q")
    with pytest.raises(InputError, match=r"would replace the photo .*a\.png"):
        plan(tmp_path / "q", tmp_path / "out")  # out/q leads back to the photos
    photo(tmp_path / "r" / "a.png")
    assert statuses(go(tmp_path / "r", tmp_path / "r" / "faces")) == {"aligned": 1}
    (tmp_path / "r" / "again").symlink_to("faces")
    assert statuses(go(tmp_path / "r", tmp_path / "r" / "faces")) == {"exists": 1}


def test_no_file_ends_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tmp_path / "p", tmp_path / "o"
    sound = photo(folder / "z.png").read_bytes()
    for number, (_, data) in enumerate(damaged(sound, 40, seed=1)):
        (folder / f"{number}.png").write_bytes(data)
    os.mkfifo(folder / "pipe.png")
    (folder / "zeros.png").symlink_to("/dev/zero")
    photo(folder / f"{'x' * 251}.png", 2)
    photo(folder / "two\nlines.png")
    photo(folder / "\udce9.png")
    (folder / "folder.png").mkdir()
    found = statuses(go(folder, out))
    assert found["unreadable"] > 35 and found["not written"] == 1  # a name too long for a second face
    assert found["aligned"] == 45 - found["unreadable"]  # the damage of some is behind the picture
    assert not [name for name in os.listdir(out) if name.startswith(".")]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_pil", full)
    outcome = align_file(Pair(folder / "z.png", tmp_path / "n" / "z.png", "z_"), SETTINGS)
    assert outcome.status == "not written" and "free some space" in str(outcome)


def test_an_aligned_face_holds_what_it_holds(tmp_path: Path) -> None:
    photo(tmp_path / "p" / "a.png")
    for suffix in (".png", ".jpg"):
        align_folder(plan(tmp_path / "p", tmp_path / "o", suffix), SETTINGS, 1, lambda outcome: None)
        assert align_file(plan(tmp_path / "p", tmp_path / "o", suffix)[0], SETTINGS).status == "exists"
        original = read_original(tmp_path / "o" / f"a{suffix}")
        assert np.array_equal(original.values, read_pixels(tmp_path / "o" / f"a{suffix}"))
