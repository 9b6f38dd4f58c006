"""Alignment: the square by value, the warp to a fraction of a pixel, and a real photo end to end."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from options.align_options import AlignAllOptions, AlignOptions
from options.parser import parse_options
from utils.errors import InputError
from utils.faces import alignment
from utils.faces.alignment import (
    CROPS,
    Crop,
    align_photo,
    detect_faces,
    face_square,
    outside_share,
    predictor_path,
    warp_square,
)

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a script as a user does."""
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A photo in the public domain, (512, 512, 3); the face is 92 pixels wide."""
    return skimage.data.astronaut()


def landmarks(left: tuple, right: tuple, mouth_left: tuple, mouth_right: tuple) -> np.ndarray:
    """68 points of which only those that the rule uses are set."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = left, right
    points[48], points[54] = mouth_left, mouth_right
    return points


def smooth_photo(width: int, height: int) -> np.ndarray:
    """A photo whose value is linear in the pixel coordinates: red = x / 2, green = y / 2."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x / 2, y / 2, np.full_like(x, 99)], 2).round().astype(np.uint8)


def test_square_of_an_upright_face_by_value() -> None:
    points = landmarks((40, 50), (80, 50), (45, 90), (75, 90))
    # d = 40, m = (0, 40), so the half side is max(80, 72) = 80 for s = 1; centre (60, 50) + k (0, 40)
    assert np.allclose(face_square(points, 1.0, 0.1), [(-20, -26), (-20, 134), (140, 134), (140, -26)])
    assert np.allclose(face_square(points, 0.5, 0.5), [(20, 30), (20, 110), (100, 110), (100, 30)])
    longer = landmarks((40, 50), (80, 50), (45, 110), (75, 110))  # m = 60: 1.8 * 60 = 108
    assert np.allclose(face_square(longer, 1.0, 0.0)[0], (60 - 108, 50 - 108))


def test_square_turns_moves_and_grows_with_the_face() -> None:
    points = landmarks((40, 50), (80, 53), (47, 90), (74, 91))
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]]) * 3
    moved = face_square(points @ turn + [10, 20], 0.58, 0.5)
    assert np.allclose(moved, face_square(points, 0.58, 0.5) @ turn + [10, 20])
    with pytest.raises(ValueError, match="coincide"):
        face_square(np.zeros((68, 2)), 1.0, 0.1)


def test_outside_share() -> None:
    square = np.array([[-10.5, -0.5], [-10.5, 19.5], [9.5, 19.5], [9.5, -0.5]])
    assert outside_share(square, 100, 100) == pytest.approx(0.5, abs=1e-4)
    assert outside_share(square + 20, 100, 100) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("size", [16, 32, 64, 200])
def test_warp_samples_pixel_centres(size: int) -> None:
    """Reduced, 1:1 and enlarged: output pixel i lies at corner + (i + 0.5) / size * side."""
    photo = smooth_photo(400, 300)
    square = np.array([[99.5, 59.5], [99.5, 219.5], [259.5, 219.5], [259.5, 59.5]])
    result = warp_square(photo, square, size).astype(float)
    steps = (np.arange(size) + 0.5) / size * 160
    assert np.abs(result[:, :, 0] - (99.5 + steps[None]) / 2).max() < 1
    assert np.abs((result[:, :, 0] - (99.5 + steps[None]) / 2).mean()) < 0.26
    assert np.abs((result[:, :, 1] - (59.5 + steps[:, None]) / 2).mean()) < 0.26


def test_warp_turns_without_mirroring() -> None:
    photo = smooth_photo(300, 300)
    corners = np.array([[-60.0, -60], [-60, 60], [60, 60], [60, -60]])
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    result = warp_square(photo, corners @ turn + 150, 60).astype(float)
    first = ((corners[0] + 1) @ turn + 150) / 2
    last = ((corners[2] - 1) @ turn + 150) / 2
    assert np.allclose(result[0, 0, :2], first, atol=1.5) and np.allclose(result[-1, -1, :2], last, atol=1.5)


@pytest.mark.parametrize("size", [40, 100])
def test_beyond_the_photo_it_is_mirrored(size: int) -> None:
    random = np.random.default_rng(0).integers(0, 256, (25, 25, 3), dtype=np.uint8)
    photo = cv2.resize(random, (200, 200), interpolation=cv2.INTER_CUBIC)
    square = np.array([[-60.5, 39.5], [-60.5, 139.5], [39.5, 139.5], [39.5, 39.5]])
    padded = np.pad(photo, ((0, 0), (100, 0), (0, 0)), "symmetric")
    expected = warp_square(padded, square + [100, 0], size)
    assert np.abs(warp_square(photo, square, size).astype(float) - expected).mean() < 1.5


def test_ffhq_fades_only_beyond_the_photo() -> None:
    random = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    photo = cv2.resize(random, (200, 200), interpolation=cv2.INTER_CUBIC)
    inside = np.array([[39.5, 39.5], [39.5, 159.5], [159.5, 159.5], [159.5, 39.5]])
    assert np.array_equal(warp_square(photo, inside, 64, fade=True), warp_square(photo, inside, 64))
    over = inside - [100, 0]  # half of it is beyond the left edge
    plain, faded = (
        warp_square(photo, over, 64).astype(int),
        warp_square(photo, over, 64, fade=True).astype(int),
    )
    assert np.array_equal(plain[:, 46:], faded[:, 46:])
    assert faded[:, :8].std() < 0.5 * plain[:, :8].std()


def test_predictor_is_found_without_importing_its_package() -> None:
    assert predictor_path().name == "shape_predictor_68_face_landmarks.dat"
    assert "face_recognition_models" not in sys.modules


def test_alignment_module_imports_no_dlib() -> None:
    imported = "import sys; sys.path.insert(0, '.'); import utils.faces.alignment"
    code = f"{imported}; sys.exit('dlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_missing_packages_give_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install face-recognition-models"):
        predictor_path()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match="pip install dlib-bin"):
        detect_faces(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("factor", [1.0, 4.0], ids=["512", "2048"])
def test_a_real_photo_aligns(astronaut: np.ndarray, factor: float) -> None:
    photo = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    points = detect_faces(align_photo(photo, 128))[0].landmarks
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    assert np.abs(left - (36.4, 36.8)).max() < 4 and np.abs(right - (91.5, 36.9)).max() < 4
    mouth = (points[48] + points[54]) / 2
    assert abs(mouth[0] - 64) < 4 and abs(mouth[1] - 91) < 7


def test_a_tilted_photo_aligns_upright(astronaut: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((256, 256), 20, 1)
    points = detect_faces(align_photo(cv2.warpAffine(astronaut, turn, (512, 512)), 128))[0].landmarks
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    assert abs(left[1] - right[1]) < 2 and abs(right[0] - left[0] - 55) < 4


def test_the_tight_square_lies_in_the_ffhq_one(astronaut: np.ndarray) -> None:
    """In an FFHQ crop it is nearly the box x 0.21..0.79, y 0.308..0.888."""
    points = detect_faces(astronaut)[0].landmarks
    large, tight = (face_square(points, CROPS[name].s, CROPS[name].k) for name in ("ffhq", "tight"))
    sides = large[[3, 1]] - large[0]
    inside = np.linalg.solve(sides.T, (tight - large[0]).T).T
    assert np.allclose(inside[0], (0.21, 0.308), atol=0.03)
    assert np.allclose(inside[2], (0.79, 0.888), atol=0.03)


def test_no_face(astronaut: np.ndarray) -> None:
    with pytest.raises(InputError, match="no face found"):
        align_photo(astronaut[380:, 250:400], 128)
    assert detect_faces(np.zeros((40, 30, 3), np.uint8)) == []


@pytest.fixture
def photos(astronaut: np.ndarray, tmp_path: Path) -> Path:
    """A folder with two good photos, one with two faces, one without a face and a truncated one."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    image = Image.fromarray(astronaut)
    image.save(folder / "47_0.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90).save(folder / "sub" / "47.5_1.jpg", exif=exif)
    pair = Image.new("RGB", (1000, 512))
    pair.paste(image, (0, 0))
    pair.paste(image, (500, 20))
    pair.save(folder / "47_2.png")
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(folder / "30_3.png")
    data = (folder / "47_0.jpg").read_bytes()
    (folder / "47_4.jpg").write_bytes(data[: len(data) // 2])
    return folder


def test_align_faces_gives_a_verdict_for_every_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    arguments = ("--input_dir", photos, "--output_dir", out, "--size", 64, "--num_workers", 2)
    done = run("align_faces.py", *arguments, "--all_faces")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    statuses = ["no face", "aligned", "aligned", "unreadable", "aligned"]
    assert [line[:11].strip() for line in lines[:5]] == statuses
    assert "47_4.jpg" in lines[3] and "truncated" in lines[3]
    assert lines[5].startswith("3 aligned, 0 already there, 1 without a face, 1 unreadable")
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert names == ["47_0.png", "47_2.png", "47_2_1.png", "sub/47.5_1.png"]
    upright = np.array(Image.open(out / "sub" / "47.5_1.png")).astype(float)
    assert upright.shape == (64, 64, 3)
    assert np.abs(upright - np.array(Image.open(out / "47_0.png"))).mean() < 4

    before = (out / "47_0.png").stat().st_mtime_ns
    (out / "47_2.png").unlink()
    again = run("align_faces.py", *arguments)
    assert "1 aligned, 2 already there" in again.stdout
    assert (out / "47_0.png").stat().st_mtime_ns == before


def test_align_faces_bad_input(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    (tmp_path / "empty").mkdir()
    for folder, sentence in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "no pictures in")):
        done = run("align_faces.py", "--input_dir", folder, "--output_dir", out)
        assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr
    for path in photos.rglob("47*"):
        path.unlink()
    done = run("align_faces.py", "--input_dir", photos, "--output_dir", out)
    assert done.returncode == 2 and "could be aligned" in done.stderr
    assert "no face" in done.stdout and not out.exists()
    done = run("align_faces.py", "--input_dir", photos, "--output_dir", photos)
    assert done.returncode == 2 and "cannot go into the folder" in done.stderr


def test_square_of_the_options() -> None:
    folders = ["--input_dir=photos", "--output_dir=aligned"]
    assert parse_options(AlignOptions, folders).square == CROPS["tight"]
    own = parse_options(AlignOptions, [*folders, "--crop=ffhq", "--s=0.8", "--k", "-0.5"]).square
    assert own == Crop(0.8, -0.5, fade=True)
    for argument, message in (
        ("--size=8", "--size=8 is out of range; use 16 to 4096 pixels"),
        ("--s=0", "s must lie in 0..10"),
        ("--k=nan", "nan is not a finite number"),
        ("--num_workers=0", "0 is less than 1"),
        ("--crop=wide", "--crop: invalid choice"),
    ):
        with pytest.raises(InputError, match=message):
            parse_options(AlignOptions, [*folders, argument])
    with pytest.raises(InputError, match="--root_path is missing"):
        parse_options(AlignAllOptions, [])


def test_names_that_differ_in_the_extension_only(photos: Path, tmp_path: Path) -> None:
    from utils.faces.align_folder import plan

    (photos / "47_0.png").touch()
    targets = [pair.target.name for pair in plan(photos, photos / "aligned")]
    assert targets == ["30_3.png", "47_0.png", "47_0_png.png", "47_2.png", "47_4.png", "47.5_1.png"]


def test_official_command_line(photos: Path) -> None:
    done = run("align_all_parallel.py", "--num_threads", 2, "--root_path", photos)
    assert done.returncode == 0, done.stderr
    crops = photos.with_name("photos_crops")
    names = sorted(str(path.relative_to(crops)) for path in crops.rglob("*.*"))
    assert names == ["47_0.jpg", "47_2.jpg", "sub/47.5_1.jpg"]
    assert Image.open(crops / "47_0.jpg").size == (256, 256)
