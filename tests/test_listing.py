"""Which pictures are found: random trees with links, loops and hidden folders against a plain rule."""

import inspect
import os
import random
import sys
from pathlib import Path

import pytest

from datasets.personal.album import open_album
from utils.errors import InputError
from utils.pictures.listing import EXTENSIONS, find_pictures, list_images

NAMES = (
    "a.jpg",
    "b.JPEG",
    "c.jfif",
    "d.jpe",
    "e.mpo",
    "f.avif",
    "g.GIF",
    "h.heic",
    "i.png",
    "a.txt",
    "Thumbs.db",
)
ODD = (".hidden.jpg", "._a.jpg", "two\nlines.png", "\udce9.tif", "no_suffix", "x.jpg.exe", "ü.webp")


def grow(root: Path, draws: random.Random) -> list[Path]:
    """Fills a folder with folders, files and links; returns its folders."""
    folders = [root]
    for number in range(draws.randrange(1, 10)):
        name = draws.choice(("d", ".d", "dir.jpg", "Ü d")) + str(number)
        folders.append(draws.choice(folders) / name)
        folders[-1].mkdir()
    for folder in folders:
        for name in draws.sample(NAMES + ODD, draws.randrange(6)):
            (folder / name).write_text("x")
    for number in range(draws.randrange(5)):
        target = draws.choice([*folders, root.parent / "far", root / "nowhere"])
        (draws.choice(folders) / f"link{number}").symlink_to(target)
    (draws.choice(folders) / "file_link.png").symlink_to(
        draws.choice((root.parent / "far" / "z.png", "loop.png", "file_link.png"))
    )
    return folders


def reachable(root: Path) -> set[str]:
    """The real paths of the pictures below a folder: what is neither hidden nor twice the same folder."""
    found, seen, open_folders = set(), set(), [root]
    while open_folders:
        folder = open_folders.pop()
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        for entry in os.scandir(folder):
            if entry.name[0] == ".":
                continue
            if os.path.isdir(entry.path):
                open_folders.append(Path(entry.path))
            elif os.path.isfile(entry.path) and os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                found.add(os.path.join(real, entry.name))
    return found


def test_random_trees(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "z.png").touch()
    (tmp_path / "far" / "deep" / "back").symlink_to(tmp_path / "far")
    for seed in range(150):
        draws = random.Random(seed)
        root = tmp_path / str(seed)
        root.mkdir()
        folders = grow(root, draws)
        found = find_pictures(root)
        real = [os.path.join(os.path.realpath(path.parent), path.name) for path in found.pictures]
        assert len(real) == len(set(real)) and set(real) == reachable(root), seed
        assert found.pictures == sorted(found.pictures, key=lambda path: (str(path.parent), path.name))
        assert not {path.suffix.lower() for path in found.others} & EXTENSIONS
        own = draws.choice(folders[1:] or [root / "none"])
        inside = own.resolve()
        left = {path for path in real if inside not in Path(path).parents}
        try:
            again = find_pictures(root, [own]).pictures
        except InputError:
            again = []
        assert {os.path.join(os.path.realpath(path.parent), path.name) for path in again} <= left
        assert not any(inside in path.resolve().parents for path in again)


def test_a_folder_is_found_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "a.png").touch()
    (tmp_path / "a_link").symlink_to("z")
    assert find_pictures(tmp_path).pictures == [tmp_path / "z" / "a.png"]


def test_what_is_passed_over_is_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.jpg", "b.txt", "c.txt", "d.mov", "e", "f.pdf"):
        (tmp_path / name).touch()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop\nline.jpg").symlink_to("loop\nline.jpg")
    (tmp_path / "out" / "70").mkdir(parents=True)
    (tmp_path / "out" / "70" / "a.jpg").touch()
    (tmp_path / "again").symlink_to("out")
    assert list_images(tmp_path, [tmp_path / "again"]) == [tmp_path / "a.jpg"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("note: passed over ") for line in lines)
    assert "out, where this command writes its results" in lines[0]
    assert "gone" in lines[1] and "loop line.jpg: links that lead nowhere" in lines[1]
    assert lines[2].endswith(f"5 files of other kinds in {tmp_path} (.txt 2, .mov 1, no suffix 1, ...)")
    with pytest.raises(InputError, match="where this command writes its results"):
        list_images(tmp_path / "out", [tmp_path / "again"])
    assert list_images(tmp_path / "b.txt") == [tmp_path / "b.txt"]  # what is named is meant


def test_locked_folders_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "locked/b.png", "open/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listdir = os.listdir

    def refuse(folder: Path) -> list[str]:  # root may open everything, so the refusal is made here
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "c.png"]
    assert f"passed over {tmp_path / 'locked'}: Permission denied" in capsys.readouterr().err


def test_deep_trees_are_searched_to_the_end(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d"] * 150)
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert find_pictures(tmp_path).pictures == [folder / "a.png"]
    finally:
        sys.setrecursionlimit(limit)


def test_an_album_is_listed_by_the_same_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("p/a.jfif", "p/b.dng", "p/c.txt", "p/.d.jpg", "far/e.avif", "p/me/train/30_0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "p" / "linked").symlink_to(tmp_path / "far")
    album = open_album(tmp_path / "p", tmp_path / "p" / "me")
    assert album.names == ["a.jfif", "b.dng", "linked/e.avif"] and album.ignored == ["c.txt"]
    assert "where this command writes its results" in capsys.readouterr().err


def test_runs_of_trainings_are_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever command reads, and whatever it writes itself: the sheets of a run are not photos."""
    run = tmp_path / "set" / "runs" / "00000"
    for place in (tmp_path / "set", run / "logs" / "images", run / "checkpoints"):
        place.mkdir(parents=True)
        (place / "a.png").touch()
    (run / "opt.json").touch()
    assert list_images(tmp_path / "set") == [tmp_path / "set" / "a.png"]
    assert f"passed over {run}: runs of a training" in capsys.readouterr().err
    assert list_images(run / "logs") == [run / "logs" / "images" / "a.png"]  # where that is what one asks for
