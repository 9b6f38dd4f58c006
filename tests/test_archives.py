"""Zip archives as data: an archive gives what its folder gives; hostile and damaged ones are told."""

import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
import training_toys as toys
from commands import run
from inference_toys import files_below, make_photo, save_toy, toy
from PIL import Image

from datasets.faces import FaceFolder
from datasets.person_photos import load_person
from datasets.personal.album import open_album
from training.batches import BatchSource
from training.earlier_run import fingerprint
from utils.errors import InputError
from utils.faces.align_folder import plan
from utils.files.checkpoints import load_checkpoint
from utils.pictures import archives
from utils.pictures.archives import open_file
from utils.pictures.listing import find_pictures
from utils.pictures.opening import digest_of
from utils.pictures.originals import read_original
from utils.pictures.reading import read_pixels

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def pack(folder: Path, packing: int = zipfile.ZIP_STORED) -> Path:
    """An archive of a folder, beside it."""
    archive = folder.with_name(f"{folder.name}.ZIP")
    with zipfile.ZipFile(archive, "w", packing) as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return archive


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = toys.make_faces(tmp_path / "faces")
    toys.make_faces(folder / "deeper" / "still", (30, 41.5))
    return folder


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_archive_gives_what_its_folder_gives(faces: Path, packing: int) -> None:
    archive = pack(faces, packing)
    one, other = FaceFolder(faces, 16, require_age=True), FaceFolder(archive, 16, require_age=True)
    assert one.images is not None and other.images is not None
    assert torch.equal(one.images, other.images) and torch.equal(one.ages, other.ages)
    names = [[path.relative_to(data.folder) for path in data.paths] for data in (one, other)]
    assert names[0] == names[1] and len(names[0]) == 10
    assert fingerprint(one) == fingerprint(other)
    assert [digest_of(path) for path in one.paths] == [digest_of(path) for path in other.paths]
    assert load_person(archive, 16).names == load_person(faces, 16).names
    targets = [[pair.target for pair in plan(place, "out")] for place in (faces, archive)]
    assert targets[0] == targets[1]
    assert open_album(archive, "me").names == open_album(faces, "me").names


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_for_folders_holds_inside(tmp_path: Path, seed: int) -> None:
    draws, folder = random.Random(seed), tmp_path / "set"
    places = ["", "a", "a/b", ".hidden", "a/.b", "__MACOSX", "run", "run/checkpoints", "run/logs/images"]
    names = ["1.png", "2.JPG", ".3.png", "._4.jpg", "x.txt", "dataset.json", "5.heic", "ü.webp", "opt.json"]
    for place in draws.sample(places, 6):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in draws.sample(names, 4):
            (folder / place / name).write_text("x")
    for name in ("opt.json", "checkpoints/1.pt", "logs/sheet.png"):
        (folder / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "run" / name).write_text("x")
    archive = pack(folder)
    plain, packed = find_pictures(folder), find_pictures(archive)
    for one, other in ((plain.pictures, packed.pictures), (plain.others, packed.others)):
        assert [path.relative_to(folder) for path in one] == [path.relative_to(archive) for path in other]
    assert len(plain.notes) == len(packed.notes) == 1 and "run: runs of a training" in packed.notes[0]


def test_processes_read_an_archive_that_their_parent_has_open(faces: Path) -> None:
    """A handle that they shared would be moved by one while another reads."""
    paths = find_pictures(pack(faces)).pictures
    wanted = [open_file(path).read() for path in paths]
    children = []
    for _ in range(3):
        children.append(os.fork())
        if not children[-1]:
            code = 1
            try:
                rounds = range(200)
                code = int(any(open_file(p).read() != w for _ in rounds for p, w in zip(paths, wanted)))  # noqa: B905
            finally:
                os._exit(code)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_helpers_of_a_training_read_an_archive(faces: Path) -> None:
    data = FaceFolder(pack(faces, zipfile.ZIP_DEFLATED), 16, cache=False)
    wanted = FaceFolder(faces, 16)
    batch = BatchSource(data, 10, seed=1, workers=2).next()
    items = list(zip(batch["index"].tolist(), batch["flip"].tolist(), strict=True))
    assert torch.equal(batch["image"], wanted.batch(items)["image"])
    copy = pickle.loads(pickle.dumps(data))  # as a process that is spawned gets it
    assert torch.equal(copy.batch(range(10))["image"], wanted.batch(range(10))["image"])


def test_a_run_that_began_with_a_folder_goes_on_with_its_archive(faces: Path, tmp_path: Path, capfd) -> None:
    files = toys.make_files(tmp_path / "files")
    more = ("--val_interval=0", f"--test_dataset={pack(faces)}")
    states = []
    for place, steps in (((faces, 2), (faces, 4)), ((faces, 2), (pack(faces), 4))):
        run_folder = tmp_path / f"run{len(states)}"
        for data, count in (place, steps):
            command = toys.arguments("age_classifier", files, run_folder, *more)
            toys.train([*command, f"--train_dataset={data}", f"--max_steps={count}"])
        states.append(load_checkpoint(next(run_folder.rglob("iteration_4.pt"))))
    assert "are not the" not in capfd.readouterr().err
    for key, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][key]), key


def test_people_of_an_archive_are_its_folders(tmp_path: Path) -> None:
    files = toys.make_files(tmp_path / "files")
    archive = pack(Path(files.people))
    command = toys.arguments("identity", files, tmp_path / "run", "--teacher=auto")
    coach = toys.coach([*command, f"--train_dataset={archive}", f"--test_dataset={archive}"])
    assert coach.teacher == "folders" and len(set(coach.targets.tolist())) == 2


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("script", ["inference", "inference_lifespan"])
def test_photos_of_an_archive_have_the_results_of_a_folder(tmp_path: Path, script: str) -> None:
    checkpoint, photos = save_toy(tmp_path / "sam.pt", toy()), tmp_path / "photos"
    make_photo(photos / "20_0.png", 0)
    make_photo(photos / "a" / "30_1.jpg", 1)
    make_photo(photos / "b" / "30_1.jpg", 2)
    (photos / "broken.png").write_bytes(b"no picture")
    results = {}
    for place in (photos, pack(photos)):
        out = tmp_path / place.suffix / "out"
        if script == "inference":
            arguments = [f"--data_path={place}", f"--exp_dir={out}", f"--checkpoint_path={checkpoint}"]
        else:
            arguments = [f"--img_dir={place}", f"--output_dir={out}", f"--model_path={checkpoint}"]
        done = run(script, *arguments, "--target_age=20,+30", "--test_workers=0")
        assert done.returncode == 0 and "3 photos aged, 1 unreadable skipped" in done.stdout, done.stderr
        assert f"skipped: cannot read {place / 'broken.png'}" in done.stderr
        names = files_below(out) - {"stats.txt"}
        results[place] = {name: (out / name).read_bytes() for name in names}
    first, second = results.values()
    assert first == second and len(first) > 6


def test_photos_are_put_back_in_their_own_values(tmp_path: Path) -> None:
    """Every way in which a file is looked at again goes through the archive, too."""
    folder = tmp_path / "set"
    folder.mkdir()
    picture = Image.effect_noise((40, 30), 60).convert("RGB")
    picture.save(folder / "lossless.webp", lossless=True)
    picture.save(folder / "fine.jpg", quality=91, subsampling=1)
    Image.new("I;16", (30, 20), 4660).save(folder / "deep.tif")
    archive = pack(folder)
    for path in folder.iterdir():
        one, other = read_original(path), read_original(archive / path.name)
        assert (one.values == other.values).all() and one.values.dtype == other.values.dtype
        assert one.encoding == other.encoding and (one.encoding or path.suffix == ".tif")


# ---------------------------------------------------------------- bad archives


def patched(archive: Path, name: str, field: int, kind: str, value: int) -> None:
    """Changes a field of an entry in the directory at the end of an archive, counted from its name back."""
    data = bytearray(archive.read_bytes())
    start = data.rindex(name.encode()) - 46
    struct.pack_into(kind, data, start + field, value)
    archive.write_bytes(data)


def archive_of(path: Path, packing: int = zipfile.ZIP_DEFLATED, **content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", packing) as opened:
        for name, data in content.items():
            opened.writestr(f"{name}.png", data)
    return path


def test_bad_entries_are_named(tmp_path: Path) -> None:
    whole = make_photo(tmp_path / "whole.png", 3).read_bytes()
    archive = archive_of(
        tmp_path / "a.zip", zipfile.ZIP_STORED, good=whole, bad=whole, locked=whole, huge=whole
    )
    data = bytearray(archive.read_bytes())
    data[data.index(b"bad.png") + 200] ^= 1
    archive.write_bytes(data)
    patched(archive, "locked.png", 8, "<H", 1)
    patched(archive, "huge.png", 24, "<I", 2**30)
    assert (read_pixels(archive / "good.png") == read_pixels(tmp_path / "whole.png")).all()
    for name, reason in (("bad", "the archive is damaged"), ("locked", "encrypted"), ("huge", "1024 MiB")):
        with pytest.raises(InputError, match=reason) as caught:
            read_pixels(archive / f"{name}.png")
        assert str(caught.value).startswith(f"cannot read {archive / name}.png")
    with pytest.raises(InputError, match="no such picture"):
        read_pixels(archive / "none.png")
    with pytest.raises(InputError, match="3 of 4 pictures"):
        FaceFolder(archive, 16)
    odd = archive_of(tmp_path / "odd.zip", zipfile.ZIP_LZMA, a=whole)
    with pytest.raises(InputError, match="packed in an unusual way"):
        read_pixels(odd / "a.png")


def test_a_bomb_takes_no_more_than_its_size_says(tmp_path: Path) -> None:
    bomb = archive_of(tmp_path / "bomb.zip", a=bytes(2**26))
    patched(bomb, "a.png", 24, "<I", 1000)
    find_pictures(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="damaged"):
            read_pixels(bomb / "a.png")
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png", "..\\out.png", "C:/out.png"])
def test_names_that_lead_out_are_passed_over(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, make_photo(tmp_path / "in.png").read_bytes())
        opened.writestr("./in.png", make_photo(tmp_path / "in.png").read_bytes())
    found = find_pictures(archive)
    assert found.pictures == [archive / "in.png"] and read_pixels(found.pictures[0]).shape == (80, 80, 3)
    assert found.notes == [f"passed over {name}: names that lead out of the archive"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\5\6" + bytes(18)])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    reason = "no pictures in" if content.startswith(b"PK") else "as a zip archive"
    with pytest.raises(InputError, match=reason) as caught:
        FaceFolder(archive, 16)
    assert str(archive) in str(caught.value)


def test_an_archive_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", a=b"1")
    assert open_file(archive / "a.png").read() == b"1"
    archive_of(tmp_path / "b.zip", a=b"2").replace(archive)
    assert open_file(archive / "a.png").read() == b"2"
    assert archives.file_size(archive / "a.png") == 1


def test_a_folder_may_be_called_like_an_archive(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "faces.zip" / "a.png")
    assert find_pictures(tmp_path / "faces.zip").pictures == [photo] and read_pixels(photo).any()
