"""Photo in, photo out: the paste against the alignment, EXIF data, relative ages, and films."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
import skimage.data
import torch
from commands import run
from inference_toys import INPUT, OUTPUT, files_below, make_photo, pixels, save_toy, toy
from PIL import Image

from configs.paths_config import model_paths
from datasets.input_age import InputAges
from options.inference_options import InferenceOptions, parse_inference_options
from utils.errors import InputError
from utils.faces.alignment import detect_faces, face_square, warp_square
from utils.faces.boxes import TIGHT_IN_FFHQ
from utils.faces.paste import FacePhoto, paste_square
from utils.pictures.animation import labelled_grid, there_and_back, write_gif, write_mp4
from utils.pictures.originals import read_original
from utils.pictures.writing import save_original


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A photo in the public domain, (512, 512, 3); the face is 92 pixels wide."""
    return skimage.data.astronaut()


def turned_square(centre: tuple[float, float], half: float, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    x = half * np.array([np.cos(angle), np.sin(angle)])
    y = np.array([-x[1], x[0]])
    return np.array(centre) + np.stack([-x - y, -x + y, x + y, x - y])


# ---------------------------------------------------------------- the paste

SQUARES = {
    "upright": turned_square((230.3, 140.7), 70, 0),
    "turned": turned_square((230, 140), 82.4, 25),
    "upside down": turned_square((200, 300), 60, 190),
    "beyond two edges": turned_square((30, 20), 80, -12),
    "larger than the photo": turned_square((256, 256), 400, 5),
}


@pytest.mark.parametrize("square", SQUARES.values(), ids=SQUARES.keys())
def test_an_unchanged_face_reproduces_the_photo(astronaut: np.ndarray, square: np.ndarray) -> None:
    """Nearly: two resamplings soften it a little; a shift by one pixel would differ far more."""
    size = 2 * int(np.hypot(*(square[3] - square[0])))
    result = paste_square(astronaut, square, warp_square(astronaut, square, size)).astype(int)
    error = np.abs(result - astronaut)
    shifted = np.abs(np.roll(astronaut.astype(int), 1, axis=1) - astronaut)
    inside = cv2.fillConvexPoly(np.zeros((512, 512), np.uint8), square.round().astype(np.int32), 1) > 0
    assert error[inside].mean() < 0.2 * shifted[inside].mean()
    grey = [picture.mean(2) * inside for picture in (astronaut, result)]
    assert np.hypot(*cv2.phaseCorrelate(*grey)[0]) < 0.1, "pixels"


def test_outside_the_square_nothing_changes_and_inside_all_does(astronaut: np.ndarray) -> None:
    square = turned_square((230, 140), 80, 30)
    result = paste_square(astronaut, square, np.full((64, 64, 3), 7, np.uint8))
    y, x = np.mgrid[:512, :512]
    inside = cv2.fillConvexPoly(np.zeros((512, 512), np.uint8), square.round().astype(np.int32), 1)
    beyond = cv2.dilate(inside, np.ones((5, 5))) == 0
    assert (result[beyond] == astronaut[beyond]).all()
    assert (result[(x - 230) ** 2 + (y - 140) ** 2 < 45**2] == 7).all()
    assert (astronaut != 7).any()


def test_the_seam_is_soft() -> None:
    result = paste_square(
        np.zeros((200, 200, 3), np.uint8),
        turned_square((100, 100), 80, 0),
        np.full((64, 64, 3), 200, np.uint8),
    )
    row = result[100, :, 0].astype(int)
    assert row[18] == 0 and row[100] == 200
    assert (np.diff(row[:100]) >= 0).all() and np.diff(row).max() < 16


@pytest.mark.parametrize("size", [32, 512])
def test_smaller_and_larger_pictures_land_in_the_same_place(size: int) -> None:
    """Half a pixel more to the right is a value more: the position shows in the values."""
    x, y = np.meshgrid(np.arange(300), np.arange(240))
    photo = np.stack([x / 1.5, y, np.full_like(x, 99)], 2).round().astype(np.uint8)
    square = turned_square((150, 120), 60, 20)
    result = paste_square(photo, square, warp_square(photo, square, size)).astype(float)
    difference = (result - photo)[80:160, 110:190]
    assert np.abs(difference).max() <= 2 and np.abs(difference.mean((0, 1))).max() < 0.15


def test_a_reduced_photo_takes_its_square_along(astronaut: np.ndarray) -> None:
    square = face_square(detect_faces(astronaut)[0].landmarks, 0.58, 0.5)
    small = FacePhoto(astronaut, [square]).reduced(256)
    assert small.size == (256, 256) and small.reduced(300) is small
    whole = warp_square(astronaut, square, 40).astype(int)
    assert np.abs(warp_square(small.pixels, small.squares[0], 40) - whole).mean() < 4


# ---------------------------------------------------------------- what the camera wrote


def photo_with_exif(path: Path, upright: np.ndarray, **options: object) -> Path:
    """Saves a photo lying on its side, with the tag that says so."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera works"
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0xA002], details[0xA003] = "2001:02:03 04:05:06", *upright.shape[:2]
    lying = np.ascontiguousarray(np.rot90(upright))
    Image.fromarray(lying).save(path, exif=exif, icc_profile=b"a colour profile", **options)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_metadata_is_kept_and_the_rotation_applied(
    astronaut: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    lossless = {"lossless": True} if suffix == ".webp" else {}
    source = photo_with_exif(tmp_path / f"in{suffix}", astronaut[:, :400], **lossless)
    original = read_original(source)
    assert original.values.shape == (512, 400, 3)
    save_original(original.values, original, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as result:
        exif = result.getexif()
        details = exif.get_ifd(0x8769)
        assert 0x0112 not in exif and exif[0x010F] == "Camera works"
        assert details[0x9003] == "2001:02:03 04:05:06"
        assert (details[0xA002], details[0xA003]) == result.size == (400, 512)
        assert result.info["icc_profile"] == b"a colour profile"


def test_damaged_and_oversized_exif(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 30))
    image.save(tmp_path / "damaged.jpg", exif=b"Exif\x00\x00this is nothing")
    original = read_original(tmp_path / "damaged.jpg")
    save_original(original.values, original, tmp_path / "out.jpg")
    exif = Image.Exif()
    exif[0x010F] = "Camera works"
    exif.get_ifd(0x8769)[0x927C] = b"x" * 80_000
    image.save(tmp_path / "large.png", exif=exif)
    original = read_original(tmp_path / "large.png")
    save_original(original.values, original, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as result:
        assert result.getexif()[0x010F] == "Camera works", "only the maker's note is too long for a JPEG"


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("weights") / "sam.pt", toy())


@pytest.fixture
def folder(astronaut: np.ndarray, tmp_path: Path) -> Path:
    """A folder of photos: one with a face, one without."""
    photos = tmp_path / "photos"
    make_photo(photos / "a_wall.png", size=200)
    photo_with_exif(photos / "me.png", astronaut[:360])
    return photos


def age(checkpoint: Path, folder: Path, out: Path, *arguments: str, script: str = "inference") -> str:
    command = [f"--checkpoint_path={checkpoint}", f"--data_path={folder}", f"--exp_dir={out}", "--align"]
    result = run(script, *command, "--test_workers=0", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_align_puts_the_aged_face_back(
    checkpoint: Path, folder: Path, astronaut: np.ndarray, tmp_path: Path
) -> None:
    said = age(checkpoint, folder, tmp_path / "out", "--target_age=10,70", "--couple_outputs")
    assert f"no face found in {folder / 'a_wall.png'}" in said
    assert "1 photos aged, 1 unreadable or without a face skipped" in said
    kinds = ("inference_results", "inference_coupled")
    assert files_below(tmp_path / "out") == {
        f"{kind}/{years}/me.png" for kind in kinds for years in (10, 70)
    } | {"stats.txt"}
    photo = astronaut[:360]
    with Image.open(tmp_path / "out/inference_results/70/me.png") as result:
        assert result.size == (512, 360), "upright, at the size of the photo"
        assert result.getexif()[0x010F] == "Camera works" and 0x0112 not in result.getexif()
        pasted = np.asarray(result)
    square = face_square(detect_faces(photo)[0].landmarks, 0.58, 0.5)
    aligned = warp_square(photo, square, INPUT)
    with torch.no_grad():
        image = torch.from_numpy(aligned.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        plane = torch.full((1, 1, INPUT, INPUT), 0.7)
        face = toy()(torch.cat([image, plane], 1), resize=False, randomize_noise=False)[0]
    face = ((face + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    assert face.shape == (OUTPUT, OUTPUT, 3)
    assert np.abs(pasted.astype(int) - paste_square(photo, square, face)).max() <= 2
    couple = pixels(tmp_path / "out/inference_coupled/70/me.png")
    assert (couple[:, :512] == photo).all() and (couple[:, 512:] == pasted).all()


@pytest.mark.parametrize("script", ["inference_side_by_side", "style_mixing", "reference_guided_inference"])
def test_align_on_the_other_commands(checkpoint: Path, folder: Path, tmp_path: Path, script: str) -> None:
    (tmp_path / "list.txt").write_text(f"{folder / 'me.png'}\n")
    arguments = [f"--ref_images_paths_file={tmp_path / 'list.txt'}", "--latent_mask=6", "--target_age=50"]
    age(checkpoint, folder, tmp_path / "out", *arguments, "--n_outputs_to_generate=1", script=script)
    (file,) = files_below(tmp_path / "out")
    rows = 2 if script == "reference_guided_inference" else 1
    assert Image.open(tmp_path / "out" / file).size == (2 * 512, rows * 360)


def test_align_on_the_life_span(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    command = [
        f"--img_dir={folder}",
        f"--model_path={checkpoint}",
        "--desc=me",
        "--align",
        "--test_workers=0",
    ]
    result = run("inference_lifespan", *command, f"--output_dir={tmp_path / 'out'}", "--target_age=20,60")
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "out/me/single_img/me_60.jpg").size == (512, 360)
    assert Image.open(tmp_path / "out/me/me.png").size == (3 * 514 + 2, 364)


def test_a_phone_s_heic_photo(checkpoint: Path, astronaut: np.ndarray, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pillow_heif.from_pillow(Image.fromarray(astronaut[:360])).save(photos / "me.heic")
    command = ["--align", "--test_workers=0", "--target_age=60", f"--data_path={photos}"]
    result = run("inference", *command, f"--checkpoint_path={checkpoint}", f"--exp_dir={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "out/inference_results/60/me.heic.jpg").size == (512, 360)
    command[-1:] = [f"--img_dir={photos}", f"--model_path={checkpoint}", "--desc=me"]
    result = run("inference_lifespan", *command, f"--output_dir={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    singles = tmp_path / "out/me/single_img"
    assert (singles / "me.heic").read_bytes() == (photos / "me.heic").read_bytes()
    assert (singles / "me_60.jpg").is_file() and (singles.parent / "me.heic.jpg").is_file()


def test_no_face_anywhere(checkpoint: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "wall.png", size=200)
    command = [f"--data_path={tmp_path / 'photos'}", f"--exp_dir={tmp_path / 'out'}", "--align"]
    result = run("inference", f"--checkpoint_path={checkpoint}", *command)
    assert result.returncode == 2 and "not one of the 1 pictures can be used" in result.stderr
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- relative ages


def test_ages_of_the_input_photos() -> None:
    faces = torch.zeros(2, 3, 64, 64)
    ages = InputAges(model_paths["demo_age_classifier"])
    named, judged = ages([Path("34.5_2.jpg"), Path("IMG_2034.jpg")], faces)
    assert (named.years, named.source) == (34.5, "file name")
    assert 0 <= judged.years <= 100 and judged.source == "age classifier"
    given = InputAges("never loaded", given=50.0)([Path("34_2.jpg")], faces[:1])
    assert (given[0].years, given[0].source) == (50.0, "--input_age")


def test_the_tight_square_of_an_ffhq_crop(astronaut: np.ndarray) -> None:
    points = detect_faces(astronaut)[0].landmarks
    tight = warp_square(astronaut, face_square(points, 0.58, 0.5), 100)
    ffhq = warp_square(astronaut, face_square(points, 1.0, 0.1), 400)
    top, bottom, left, right = (round(400 * edge) for edge in TIGHT_IN_FFHQ.edges())
    cut = cv2.resize(ffhq[top:bottom, left:right], (100, 100), interpolation=cv2.INTER_AREA)

    def likeness(other: np.ndarray) -> float:
        return float(np.corrcoef(tight.ravel(), other.ravel())[0, 1])

    assert likeness(cut) > 0.9 > likeness(cv2.resize(ffhq, (100, 100), interpolation=cv2.INTER_AREA))


def test_relative_ages_are_added_to_the_age_of_the_input(checkpoint: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "30_0.png", 0)
    make_photo(tmp_path / "photos" / "90_0.png", 1)
    command = [f"--checkpoint_path={checkpoint}", f"--data_path={tmp_path / 'photos'}", "--test_workers=0"]
    result = run("inference", *command, f"--exp_dir={tmp_path / 'a'}", "--target_age=+20,-30")
    assert result.returncode == 0, result.stderr
    assert "30_0.png: 30 years (file name)" in result.stdout
    assert "note: 90_0.png: +20 gives 110 years, taken as 100" in result.stderr
    assert result.stderr.count("note:") == 1
    absolute = run("inference", *command, f"--exp_dir={tmp_path / 'b'}", "--target_age=0,50,60,100")
    assert absolute.returncode == 0, absolute.stderr
    for relative, years, name in (("+20", 50, "30"), ("-30", 0, "30"), ("+20", 100, "90"), ("-30", 60, "90")):
        a = pixels(tmp_path / "a/inference_results" / relative / f"{name}_0.png")
        b = pixels(tmp_path / "b/inference_results" / str(years) / f"{name}_0.png")
        assert abs(a - b).max() <= 1
    given = run("inference", *command, f"--exp_dir={tmp_path / 'c'}", "--target_age", "-10", "--input_age=60")
    assert "90_0.png: 60 years (--input_age)" in given.stdout
    files = [tmp_path / f / "inference_results" / n / "30_0.png" for f, n in (("c", "-10"), ("b", "50"))]
    assert abs(pixels(files[0]) - pixels(files[1])).max() <= 1


# ---------------------------------------------------------------- sweeps


def colours(count: int, size: tuple[int, int] = (48, 36)) -> list[Image.Image]:
    return [Image.new("RGB", size, (20 * index, 90, 255 - 20 * index)) for index in range(count)]


def test_grid_of_ages() -> None:
    grid = labelled_grid(colours(12), [str(age) for age in range(12)])
    assert grid.width > 4 * 48 and grid.height > 3 * 36
    assert grid.getpixel((4 + 24, 4 + 18)) == (0, 90, 255)


def test_gif_goes_there_and_back(tmp_path: Path) -> None:
    write_gif(there_and_back(colours(5)), tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        seen, stay = [], []
        for index in range(film.n_frames):
            film.seek(index)
            seen.append(round(film.convert("RGB").getpixel((20, 20))[0] / 20))
            stay.append(film.info["duration"])
        assert seen == [0, 1, 2, 3, 4, 3, 2, 1] and film.info["loop"] == 0
        assert stay[0] == stay[4] > 4 * stay[1], "it pauses at both ends"


def test_sweeps_of_the_command(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    for kind, suffix in (("grid", "png"), ("gif", "gif")):
        arguments = ["--target_age=10,70", f"--sweep={kind}", "--sweep_frames=4"]
        age(checkpoint, folder, tmp_path / kind, *arguments)
        with Image.open(tmp_path / kind / "inference_sweep" / f"me.{suffix}") as film:
            assert getattr(film, "n_frames", 1) == (6 if kind == "gif" else 1)
            assert film.width == 512 if kind == "gif" else film.width > 2 * 512
    assert len(files_below(tmp_path / "gif" / "inference_results")) == 2, "single pictures are written too"


def test_mp4_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "imageio_ffmpeg" else real(name, *rest),
    )
    with pytest.raises(InputError, match="MP4 needs imageio-ffmpeg; run: pip install imageio-ffmpeg"):
        parse_inference_options(InferenceOptions, ["--exp_dir=x", "--sweep=mp4"], "")


def test_mp4(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="MP4 needs the extra imageio-ffmpeg")
    write_mp4(there_and_back(colours(5, (65, 48))), tmp_path / "film.mp4")
    reader = ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    size = next(reader)["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(size[1], size[0], 3) for frame in reader]
    assert size == (64, 48) and len(frames) == 18
    assert abs(int(frames[9][24, 32, 0]) - 80) < 12, "the last age in the middle"
    assert files_below(tmp_path) == {"film.mp4"}
