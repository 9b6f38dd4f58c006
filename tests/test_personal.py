"""A personal data set out of sixty photos: the verdicts, what lies in the folder, what a second run does."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "scripts"))

from personal_album import ACCEPTED, Album, make_album, person_picture
from prepare_personal import main

from datasets.faces import FaceFolder
from datasets.personal import aligned, measures, output
from utils.errors import InputError
from utils.faces.alignment import align_photo

SPLIT = "--test_range=37-39"


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Checksum and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def verdicts_of(folder: Path) -> dict[str, str]:
    """File -> verdict, by the manifest."""
    return {photo["file"]: photo["verdict"] for photo in manifest_of(folder)["photos"]}


def pictures(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for part in ("train", "test") for path in (folder / part).glob("*")
    )


def prepare(album: Album, out: Path, *arguments: object) -> None:
    main([f"--input_dir={album.folder}", f"--output_dir={out}", "--num_workers=1", *map(str, arguments)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Album, Path]:
    """The album and the folder of one run over it."""
    root = tmp_path_factory.mktemp("personal")
    album = make_album(root / "album")
    (album.folder / "notes.txt").write_text("not a photo")
    before = content(album.folder)
    prepare(album, root / "person", SPLIT)
    assert content(album.folder) == before, "the originals were touched"
    return album, root / "person"


@pytest.fixture
def done(finished: tuple[Album, Path], tmp_path: Path) -> tuple[Album, Path]:
    """The same with a copy of the results to work on."""
    shutil.copytree(finished[1], tmp_path / "person")
    return finished[0], tmp_path / "person"


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it an error to look for faces again."""

    def refuse(*_: object) -> None:
        raise AssertionError("a photo was measured twice")

    monkeypatch.setattr(measures, "_measure", refuse)


# ---------------------------------------------------------------- one run


def test_every_verdict_is_right(finished: tuple[Album, Path]) -> None:
    album, out = finished
    found = {name: ACCEPTED if v in ("train", "test") else v for name, v in verdicts_of(out).items()}
    assert len(found) == 60
    assert found == album.expected


def test_folder_is_ready_for_training(finished: tuple[Album, Path]) -> None:
    _, out = finished
    assert pictures(out) == [
        "test/37_02.png", "test/38_03.png",
        "train/30_00.png", "train/33_01.png", "train/55_04.png", "train/56_05.png", "train/75_06.png",
    ]  # fmt: skip
    training = FaceFolder(out / "train", 128, require_age=True)
    assert training.ages.tolist() == [30, 33, 55, 56, 75] and not training.skipped
    assert Image.open(out / "train" / "30_00.png").size == (128, 128)
    plain = align_photo(np.array(person_picture("held_out/37_04")), 128).astype(float)
    turned = np.array(Image.open(out / "test" / "37_02.png")).astype(float)
    assert np.abs(turned - plain).mean() < 4, "EXIF rotation was not applied"


def test_manifest_holds_reasons_and_numbers(finished: tuple[Album, Path]) -> None:
    album, out = finished
    manifest = manifest_of(out)
    assert manifest["complete"] and manifest["stale"] == [] and manifest["ignored_files"] == ["notes.txt"]
    assert manifest["settings"]["test_range"] == [[37, 39]]
    assert sum(manifest["counts"].values()) == 60
    entries = {photo["file"]: photo for photo in manifest["photos"]}
    for name, entry in entries.items():
        assert entry["sha256"] == hashlib.sha256((album.folder / name).read_bytes()).hexdigest()
        assert entry["reason"] or entry["output"], name
    group = entries["75_6.png"]
    assert group["faces"] == 2 and group["face"]["eyes"][1][0] < 300, (
        "the other person of the photo was taken"
    )
    assert group["face"]["distance"] < 0.5 < entries["40_30.jpg"]["face"]["distance"]
    assert "DNG" in entries["33_90.dng"]["reason"] and "truncated" in entries["33_80.jpg"]["reason"]
    assert entries["30_9.png"]["reason"] == "the same file as 30_0.png"
    assert Image.open(out / "contact_sheet.jpg").width > 1000


# ---------------------------------------------------------------- further runs


@pytest.mark.usefixtures("no_measuring")
def test_another_split_measures_nothing_and_leaves_nothing_behind(done: tuple[Album, Path]) -> None:
    album, out = done
    prepare(album, out, "--test_share=0.3", "--drop", "55_4.JPG", "--keep", "30_70.jpg", "37_62.jpg")
    verdicts = verdicts_of(out)
    assert verdicts["55_4.JPG"] == "dropped"
    assert sorted(verdicts[f"55_{n}.jpg"] == "duplicate" for n in (13, 18)) == [False, True]
    assert {verdicts["30_70.jpg"], verdicts["37_62.jpg"]} <= {"train", "test"}
    listed = sorted(photo["output"] for photo in manifest_of(out)["photos"] if photo["output"])
    assert pictures(out) == listed and len(listed) == 9
    assert [name.split("/")[0] for name in listed].count("test") == 3


@pytest.mark.usefixtures("no_measuring")
@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_stopped_run_leaves_the_earlier_data_set(
    done: tuple[Album, Path], monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    album, out = done
    copied, before = [], data_set(out)

    def copy_two(source: Path, target: Path) -> None:
        if len(copied) == 2:
            raise trouble
        copied.append(target.write_bytes(source.read_bytes()))

    with monkeypatch.context() as patch:
        patch.setattr(output.shutil, "copyfile", copy_two)
        with pytest.raises((KeyboardInterrupt, InputError)):
            prepare(album, out, "--test_range=70-80", "--drop", "30_0.png")
    assert data_set(out) == before
    prepare(album, out, "--test_range=70-80", "--drop", "30_0.png")
    assert data_set(out) != before
    assert pictures(out) == sorted(p["output"] for p in manifest_of(out)["photos"] if p["output"])


@pytest.mark.usefixtures("no_measuring")
def test_a_run_without_a_usable_photo_leaves_the_earlier_data_set(done: tuple[Album, Path]) -> None:
    album, out = done
    before = data_set(out)
    with pytest.raises(InputError, match=r"rejected/contact_sheet\.jpg shows why; the data set .* stays"):
        prepare(album, out, "--min_sharpness=99")
    after = data_set(out)
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == ["rejected/contact_sheet.jpg", "rejected/manifest.json"]
    prepare(album, out, SPLIT)
    assert sorted(data_set(out)) == sorted(before)


def data_set(folder: Path) -> dict[str, tuple[str, int]]:
    """Everything in the output folder but the cache."""
    return {name: value for name, value in content(folder).items() if not name.startswith("cache")}


def test_reference_and_table(done: tuple[Album, Path], tmp_path: Path) -> None:
    album, out = done
    reference = tmp_path / "reference.png"
    Image.fromarray(skimage.data.astronaut()[:260, 100:360]).save(reference)
    table = tmp_path / "ages.csv"
    table.write_text("file;age\n48_38.jpg;47.5\nsub/37_2.jpg;37\n")
    prepare(album, out, "--reference", reference, "--ages", table)
    manifest = manifest_of(out)
    accepted = [photo for photo in manifest["photos"] if photo["output"]]
    astronaut = {name for name, verdict in album.expected.items() if verdict == "other person"}
    assert {photo["file"] for photo in accepted} <= astronaut | {"75_6.png"}
    (group,) = [photo for photo in accepted if photo["file"] == "75_6.png"]
    assert group["face"]["eyes"][0][0] > 430, "the other person of the photo was taken"
    assert verdicts_of(out)["33_1.tif"] == "other person"
    ages = {photo["file"]: (photo["age"], photo["age_source"]) for photo in manifest["photos"]}
    assert ages["48_38.jpg"] == (47.5, "table") and ages["40_30.jpg"] == (40, "file name")


def test_pictures_of_others_are_not_mixed_in(done: tuple[Album, Path]) -> None:
    album, out = done
    person_picture("train/30_09").save(out / "train" / "30_99.png")
    with pytest.raises(InputError, match=r"30_99\.png was not made by this command"):
        prepare(album, out, SPLIT)
    (out / "train" / "30_99.png").unlink()
    (out / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged or no manifest"):
        prepare(album, out, SPLIT)


def test_damaged_cache_is_measured_again(done: tuple[Album, Path]) -> None:
    album, out = done
    before = pictures(out)
    for part in ("photos", "faces"):
        for path in sorted((out / "cache" / part).iterdir())[:2]:
            path.write_bytes(path.read_bytes()[:100])
    prepare(album, out, SPLIT)
    assert pictures(out) == before


# ---------------------------------------------------------------- enhancement


class Doubler:
    """Enlarges twice; counts its pictures."""

    def __init__(self) -> None:
        self.calls = 0

    def input_size(self, side: float) -> int:
        return round(side)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.nn.functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("crop", ["tight", "ffhq"])
def test_enhanced_faces_stay_aligned_and_are_kept(
    crop: str, done: tuple[Album, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubler = Doubler()
    album, out = done
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"stands for a network")
    monkeypatch.setattr("inference.personal_album.Restorer", lambda path, device: doubler)
    arguments = (SPLIT, f"--crop={crop}", "--size=128")
    prepare(album, out, *arguments)
    plain = [np.array(Image.open(out / name)).astype(float) for name in pictures(out)]
    prepare(album, out, *arguments, f"--enhance={weights}")
    assert doubler.calls == len(plain)
    for name, picture in zip(pictures(out), plain, strict=True):
        difference = np.abs(np.array(Image.open(out / name)).astype(float) - picture)
        assert 0 < difference.mean() < 4, name
    prepare(album, out, *arguments, f"--enhance={weights}")
    assert doubler.calls == len(plain), "a face was enhanced twice"


def test_restorer_with_real_networks(tmp_path: Path) -> None:
    """A small Real-ESRGAN in the file layout of its authors, read by spandrel."""
    pytest.importorskip("spandrel", reason="needs the extra `restore`")
    from spandrel.architectures.ESRGAN import ESRGAN

    from models.restorer import Restorer

    network = ESRGAN(num_filters=8, num_blocks=1, scale=4)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "esrgan.pth")
    restorer = Restorer(tmp_path / "esrgan.pth")
    image = torch.rand(1, 3, 24, 24) * 2 - 1
    assert not restorer.for_faces and restorer.input_size(1000) == 512
    with torch.no_grad():
        expected = network((image + 1) / 2).clamp(0, 1) * 2 - 1
    assert restorer(image).shape == (1, 3, 96, 96) and torch.allclose(restorer(image), expected, atol=1e-5)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth holds no restoration network"):
        Restorer(tmp_path / "other.pth")


def test_without_spandrel_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.restorer import Restorer

    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(InputError, match="pip install 'spandrel"):
        Restorer("weights.pth")


def test_landmarks_follow_into_the_enhanced_picture() -> None:
    """The enhanced square shows the FFHQ square; a landmark lies where its pixel went."""
    from utils.faces.alignment import CROPS, detect_faces, face_square

    photo = skimage.data.astronaut()
    points = detect_faces(photo)[0].landmarks
    enhanced, moved = aligned.enhance_face(photo, points, Doubler())
    square = face_square(points, CROPS["ffhq"].s, CROPS["ffhq"].k)
    assert enhanced.shape[0] == 2 * round(float(np.hypot(*(square[3] - square[0]))))
    found = detect_faces(enhanced)[0].landmarks
    assert np.abs(found.mean(0) - moved.mean(0)).max() < 5


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output_dir={album}"], "holds the photos themselves"),
        (["--output_dir={album}/.."], "holds the photos themselves"),
        (["--test_range=40"], "give ages such as"),
        (["--test_range=50-40"], "must rise"),
        (["--test_range=1-9", "--test_share=0.1"], "two ways to split"),
        (["--birth_date=31.12.1980"], "write it as 1980-12-31"),
        (["--ages=none.csv"], "no such file"),
        (["--enhance=none.pth"], "no such file"),
        (["--keep", "none.jpg"], "--keep: none.jpg: no such photo"),
        (["--size=8"], "out of range"),
    ],
)
def test_wrong_command_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    (album / "30_0.jpg").write_bytes(b"")
    filled = [argument.format(album=album) for argument in arguments]
    with pytest.raises(InputError, match=message):
        main([f"--input_dir={album}", f"--output_dir={tmp_path / 'out'}", *filled])
    assert not (tmp_path / "out").exists()


def test_an_album_without_one_good_photo(tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    album.add("30_0.jpg", b"no picture", "unreadable")
    album.add("30_1.png", Image.new("RGB", (90, 90)), "no face")
    with pytest.raises(InputError, match="no photo in this folder can be used"):
        prepare(album, tmp_path / "out")
    assert verdicts_of(tmp_path / "out") == album.expected
    with pytest.raises(InputError, match="reference"):
        prepare(album, tmp_path / "out", "--reference", album.folder / "30_1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos in"):
        main([f"--input_dir={tmp_path / 'empty'}", f"--output_dir={tmp_path / 'out'}"])
