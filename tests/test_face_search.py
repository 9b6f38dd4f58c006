"""The search for faces: small ones in large photos, none in noise, the same for every command."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ROOT, run
from inference_toys import pixels, save_toy, toy
from PIL import Image, ImageDraw

from datasets.photos import Photos, chosen_faces
from utils.errors import InputError
from utils.faces import alignment
from utils.faces.alignment import CROPS, Face, detect_faces

PEOPLE = sorted((ROOT / "assets" / "demo_person" / "held_out").glob("*.png"))
NOISY_SEEDS = (1329, 2479)  # among 2,500, where the detector takes noise for a face


def person(number: int, side: int) -> Image.Image:
    """A face of the fictional person; its width is about that of the detector's box."""
    return Image.open(PEOPLE[number]).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def on_grey(size: tuple[int, int], *faces: tuple[Image.Image, tuple[int, int]]) -> np.ndarray:
    photo = Image.new("RGB", size, (150, 150, 160))
    for face, place in faces:
        photo.paste(face, place)
    return np.asarray(photo)


def noise(seed: int, side: int = 160) -> Image.Image:
    random = np.random.default_rng(seed)
    values = cv2.GaussianBlur(random.standard_normal((160, 160)), (0, 0), float(random.uniform(6, 11)))
    grey = ((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("side", [110, 240])
def test_a_small_face_in_a_large_photo_is_found(side: int) -> None:
    (face,) = detect_faces(on_grey((4000, 3000), (person(2, side), (2900, 700))))
    middle = face.landmarks.mean(0)
    assert np.abs(middle - (2900 + side / 2, 700 + side / 2)).max() < side / 4


def test_a_face_that_is_found_at_once_is_the_same_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = on_grey((900, 700), (person(2, 300), (200, 200)), (person(3, 200), (600, 300)))
    searched: list[int] = []
    search = alignment._search
    monkeypatch.setattr(
        alignment, "_search", lambda *arguments: searched.append(arguments[1]) or search(*arguments)
    )
    found = detect_faces(photo)
    assert searched == [alignment.DETECTION_SIDE]
    assert [face.score for face in found] == [face.score for face in search(photo, 480, 0)]
    assert np.array_equal(found[0].landmarks, search(photo, 480, 0)[0].landmarks)


def test_every_face_of_a_group_is_found_once() -> None:
    sides, photo = (700, 240, 120), np.full((2000, 2600, 3), 150, np.uint8)
    for number, side in enumerate(sides):
        left = (100, 1000, 1600)[number]
        photo[300 : 300 + side, left : left + side] = np.asarray(person(number, side))
    assert len(detect_faces(photo)) < 3
    found = detect_faces(photo, every=True)
    middles = sorted(float(face.landmarks[:, 0].mean()) for face in found)
    assert np.abs(np.array(middles) - (450, 1120, 1660)).max() < 60


def test_no_face_is_found_where_none_is() -> None:
    for seed in NOISY_SEEDS:
        picture = np.asarray(noise(seed))
        weak = [face for size in ((160, 0), (160, 1)) for face in alignment._search(picture, *size)]
        assert weak, "the detector alone is fooled"
        assert detect_faces(picture) == []
    draws = np.random.default_rng(0)
    for _ in range(25):
        badge = Image.new("RGB", (320, 320), tuple(draws.integers(0, 256, 3).tolist()))
        ink = ImageDraw.Draw(badge)
        for _ in range(12):
            x, y, side = draws.integers(0, 260, 3).tolist()
            shape = ink.ellipse if draws.random() < 0.5 else ink.rectangle
            shape((x, y, x + side // 2, y + side // 2), fill=tuple(draws.integers(0, 256, 3).tolist()))
        assert detect_faces(np.asarray(badge)) == []
    for size in ((1, 1), (1, 700), (700, 1), (3, 2000)):
        assert detect_faces(np.zeros((*size, 3), np.uint8)) == []


def test_a_weak_hit_does_not_hide_the_face() -> None:
    """The noise is large enough to be found first, the face too small for that."""
    for seed in NOISY_SEEDS:
        for side in (560, 640, 720, 800, 880):
            photo = on_grey((1500, 1000), (noise(seed, side), (0, 0)), (person(2, 130), (1250, 80)))
            (face,) = detect_faces(photo)
            assert face.landmarks[:, 0].mean() > 1200


def test_a_huge_photo_costs_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 megapixels no more than 24 are searched at once."""
    asked: list[int] = []
    monkeypatch.setattr(alignment, "_search", lambda _, target, __: asked.append(target) or [])
    assert detect_faces(np.broadcast_to(np.uint8(0), (1632, 1224, 3))) == []
    for width, height in ((12240, 16320), (100_000, 2000)):
        sizes = [target for target, _ in alignment._search_sizes(max(width, height), 480, width * height)]
        scale = sizes[-1] / max(width, height)
        assert width * height * scale**2 <= alignment.LARGEST_SEARCH and len(sizes) < 12
        assert sizes == sorted(set(sizes))


# ---------------------------------------------------------------- which faces


def test_faces_are_chosen_by_name_or_counted_from_the_left() -> None:
    faces = [Face(np.full((68, 2), float(x)), 1.0, 50.0) for x in (500, 100, 900)]
    photo = Path("a.png")
    assert chosen_faces(faces, "main", photo) == faces[:1]
    assert chosen_faces(faces, "all", photo) == [faces[1], faces[0], faces[2]]
    assert [chosen_faces(faces, number, photo)[0] for number in (1, 2, 3)] == [faces[1], faces[0], faces[2]]
    with pytest.raises(InputError, match="--faces=4: a.png has 3 faces only"):
        chosen_faces(faces, 4, photo)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("weights") / "sam.pt", toy())


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo of two faces, the larger on the right, and one of a single face."""
    folder = tmp_path_factory.mktemp("photos")
    faces = ((person(2, 180), (60, 100)), (person(5, 260), (420, 60)))
    Image.fromarray(on_grey((760, 400), *faces)).save(folder / "two.png")
    Image.fromarray(on_grey((500, 400), (person(2, 250), (100, 60)))).save(folder / "one.png")
    return folder


@pytest.mark.parametrize(
    ("which", "changed"), [("main", (0, 1)), ("all", (1, 1)), ("1", (1, 0)), ("2", (0, 1))]
)
def test_the_chosen_faces_are_aged_and_no_other(
    checkpoint: Path, group: Path, tmp_path: Path, which: str, changed: tuple[int, int]
) -> None:
    command = [f"--data_path={group}", f"--checkpoint_path={checkpoint}", f"--exp_dir={tmp_path}", "--align"]
    result = run("inference", *command, f"--faces={which}", "--target_age=70", "--test_workers=0")
    assert result.returncode == 0, result.stderr
    assert ("--faces=2" in result.stderr and "one.png has 1 face only" in result.stderr) == (which == "2")
    before, after = pixels(group / "two.png"), pixels(tmp_path / "inference_results" / "70" / "two.png")
    change = np.abs(before - after).sum(2)
    assert (bool(change[:, :330].any()), bool(change[:, 330:].any())) == tuple(map(bool, changed))


def test_several_faces_on_every_command(checkpoint: Path, group: Path, tmp_path: Path) -> None:
    """Each face has its own age; sheets, films, codes and mixtures have them all."""
    (tmp_path / "list.txt").write_text(f"{group / 'one.png'}\n")
    common = ["--align", "--faces=all", "--test_workers=0", "--target_age=+30"]
    sam = [f"--data_path={group}", f"--checkpoint_path={checkpoint}", f"--exp_dir={tmp_path}"]
    more = {
        "inference": ["--sweep=gif", "--sweep_frames=3", "--target_age=+30,20"],
        "inference_side_by_side": [],
        "style_mixing": ["--latent_mask=5", "--n_outputs_to_generate=2"],
        "reference_guided_inference": ["--latent_mask=5", f"--ref_images_paths_file={tmp_path / 'list.txt'}"],
    }
    for script, flags in more.items():
        result = run(script, *sam, *common, *flags)
        assert result.returncode == 0, result.stderr
        assert "two.png, face 1:" in result.stdout and "two.png, face 2:" in result.stdout
        assert "one.png: " in result.stdout and "2 photos aged" in result.stdout
    assert (tmp_path / "inference_sweep" / "two.gif").is_file()
    lifespan = [f"--img_dir={group}", f"--model_path={checkpoint}", f"--output_dir={tmp_path / 'lives'}"]
    result = run("inference_lifespan", *lifespan, "--desc=me", *common)
    assert result.returncode == 0, result.stderr
    codes = [np.load(tmp_path / "lives" / "me" / f"latent_{name}_+30.npy") for name in ("one", "two")]
    assert [len(code) for code in codes] == [1, 2]
    result = run("inference", *sam, "--faces=all", "--target_age=70")
    assert result.returncode == 2 and "--faces=all needs --align" in result.stderr


def test_batches_keep_photos_and_faces_together(group: Path) -> None:
    photos = Photos(group, 32, crop=CROPS["tight"], faces="all")
    for size in (1, 2):
        batches = list(photos.batches(size))
        rows = [
            (name, faces.stop - faces.start)
            for batch in batches
            for name, faces in zip(batch.names, batch.faces, strict=True)
        ]
        assert rows == [(Path("one.png"), 1), (Path("two.png"), 2)]
        assert all(len(batch.images) == len(batch.squares) == batch.faces[-1].stop for batch in batches)
