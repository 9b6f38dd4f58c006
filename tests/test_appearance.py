"""What the eye sees: planted faults are told from photos, and harmless changes are not."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from toy_photos import PERSON

from datasets.person_photos import PersonPhotos
from evaluation.appearance.colours import ColourMeter, usual_colours
from evaluation.appearance.meter import AppearanceMeter
from evaluation.appearance.regions import SIDE, aligned_landmarks, at_side, face_regions
from evaluation.appearance.spectrum import MeanSpectrum, decibels, distance, peak, power_of, rings
from evaluation.appearance.tables import appearance_of_methods, appearance_tables
from evaluation.personal import evaluate_personalization
from evaluation.summaries import means
from evaluation.tables import sharpness_table
from models.aging_model import Ages, AgingModel, age_grid
from models.judges import load_judges
from utils.pictures.reading import read_image, read_pixels
from utils.pictures.writing import write_image

Change = Callable[[Tensor], Tensor]


def grid(images: Tensor, strength: float = 0.08, x: float = 0.1875, y: float = 0.125) -> Tensor:
    """A diagonal pattern of so many cycles a pixel."""
    line = torch.arange(images.shape[-1])
    wave = torch.cos(2 * torch.pi * (x * line[None] + y * line[:, None]))
    return images + strength * wave


def blurred(images: Tensor) -> Tensor:
    pictures = images.permute(0, 2, 3, 1).numpy()
    soft = np.stack([cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), 1.5) for picture in pictures])
    return torch.from_numpy(soft).permute(0, 3, 1, 2)


def brighter(images: Tensor) -> Tensor:
    return images + 0.04


# ---------------------------------------------------------------- spectra


def noise(count: int, size: int, seed: int = 0) -> Tensor:
    """Pictures with less of the fine than of the coarse, as photos are."""
    draws = np.random.default_rng(seed).normal(size=(count, size, size)).astype(np.float32)
    soft = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.7) for plane in draws])
    return torch.from_numpy(soft)[:, None].repeat(1, 3, 1, 1) * 0.2


def spectrum_of(images: Tensor) -> MeanSpectrum:
    found = MeanSpectrum()
    found.add(power_of(images))
    return found


def test_power_is_that_of_the_pixels() -> None:
    """White noise has its variance at every frequency; a plain picture has none, whatever its level."""
    levels = torch.from_numpy(np.random.default_rng(1).normal(0, 20, (8, 64, 64)).astype(np.float32))
    white = (levels / 127.5)[:, None].repeat(1, 3, 1, 1)
    assert float(power_of(white).mean()) == pytest.approx(400, rel=0.03)
    assert rings(power_of(white)).shape == (8, 32)
    assert float(decibels(power_of(torch.full((1, 3, 64, 64), 0.3))).max()) == pytest.approx(-10.8, abs=0.1)


@pytest.mark.parametrize("size", [64, 128, 300])
def test_a_diagonal_grid_is_a_peak_at_its_frequency(size: int) -> None:
    photos = spectrum_of(noise(6, size, seed=1))
    planted = peak(spectrum_of(grid(noise(6, size))).plane, photos.plane)
    assert planted["height"] > 10 and planted["over_photos"] > 10
    assert (planted["x"], planted["y"]) == pytest.approx((0.1875, 0.125), abs=0.51 / min(size, 128))
    for harmless in (noise(6, size), brighter(noise(6, size))):
        assert peak(spectrum_of(harmless).plane, photos.plane)["height"] < 10


def test_what_photos_have_too_is_no_grid() -> None:
    photos = spectrum_of(grid(noise(6, 64, seed=1)))
    assert peak(spectrum_of(grid(noise(6, 64))).plane, photos.plane)["height"] < 10


def test_blur_moves_the_spectrum_and_brightness_does_not() -> None:
    photos = noise(6, 64)
    own = spectrum_of(photos).profile
    assert distance(spectrum_of(blurred(photos)).profile, own) > 5
    assert distance(spectrum_of(brighter(photos)).profile, own) < 0.1
    assert np.isnan(distance(own, own, share=0.01)), "enlarged photos have no band in common"


# ---------------------------------------------------------------- teeth and eyes

SKIN, LIPS, TEETH = (195, 152, 128), (165, 82, 86), (215, 205, 187)
WHITES, IRISES = (205, 190, 180), (70, 50, 40)
COLOURS = SKIN, LIPS, TEETH, WHITES, IRISES


EYE = ((-24, 0), (-10, -11), (10, -11), (24, 0), (10, 11), (-10, 11))


def face(spread: float = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face (SIDE, SIDE, 3) with an open mouth, and its landmarks (68, 2).

    Args:
        spread: of the colours of its parts, in levels.
        seed: of these.
    """
    draws = np.random.default_rng(seed)
    skin, lips, teeth, whites, irises = (
        tuple(map(int, colour + draws.normal(0, spread, 3))) for colour in COLOURS
    )
    picture = np.full((SIDE, SIDE, 3), skin, np.uint8)
    marks = np.zeros((68, 2))
    marks[:17] = [(10 + 15 * i, 60 + 190 * np.sin(np.pi * i / 16)) for i in range(17)]
    marks[31:36] = [(110 + 9 * i, 150) for i in range(5)]
    for first, middle in ((36, 75), (42, 181)):
        marks[first : first + 6] = [(middle + x, 75 + y) for x, y in EYE]
        cv2.fillConvexPoly(picture, marks[first : first + 6].astype(np.int32), whites)
        cv2.circle(picture, (middle, 75), 10, irises, -1)
    for first, count, width, height, colour in ((48, 12, 50, 24, lips), (60, 8, 36, 12, teeth)):
        turns = np.pi - 2 * np.pi * np.arange(count) / count
        marks[first : first + count] = np.c_[128 + width * np.cos(turns), 195 - height * np.sin(turns)]
        cv2.fillConvexPoly(picture, marks[first : first + count].astype(np.int32), colour)
    return picture, marks


def people(count: int) -> Iterator[np.ndarray]:
    """Faces of different colours under lights of different warmth."""
    for seed in range(count):
        picture, _ = face(spread=4, seed=seed)
        warm = np.random.default_rng(seed).uniform(-0.06, 0.06)
        yield in_light(picture, (1 + warm, 1, 1 - warm))


def in_light(picture: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    return np.clip(picture * np.array(colour), 0, 255).astype(np.uint8)


def tinted(picture: np.ndarray, colour: Sequence[float], *parts: slice) -> np.ndarray:
    """A picture whose pixels within some landmarks are multiplied by a colour."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for numbers in parts:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(MARKS[numbers]).astype(np.int32)), 1)
    return np.where(mask[..., None] > 0, in_light(picture, colour), picture)


MARKS = face()[1]
EYES, MOUTH = (slice(36, 42), slice(42, 48)), slice(60, 68)
CLOSED = tuple(np.array(LIPS) / TEETH)


def measured(change: Callable[[np.ndarray], np.ndarray]) -> dict[str, dict[str, float]]:
    meter = ColourMeter("tight", landmarks=lambda pixels, crop: MARKS)
    for picture in people(30):
        meter.add(picture, change(picture)[None])
    return meter.figures(0)


def test_regions_are_found_on_the_photo() -> None:
    picture, marks = face()
    found = face_regions(picture, marks).found
    assert set(found) == {"teeth", "whites", "irises"}
    for name, colour in (("teeth", TEETH), ("whites", WHITES), ("irises", IRISES)):
        assert np.abs(np.median(picture[found[name].mask], axis=0) - colour).max() == 0, name
    closed = tinted(picture, CLOSED, MOUTH)
    assert set(face_regions(closed, marks).found) == {"whites", "irises"}


def test_green_teeth_are_outside_what_photos_show() -> None:
    found = measured(lambda picture: tinted(picture, (0.85, 1.04, 0.95), MOUTH))
    assert found["teeth"]["faces"] == 30 and found["teeth"]["a"] < -8 and found["teeth"]["outside"] == 1
    assert found["teeth"]["shares"] == {"greener": 1, "redder": 0, "bluer": 0, "yellower": 0}
    for name in ("whites", "irises"):
        assert abs(found[name]["a"]) < 0.1 and found[name]["outside"] == 0


def test_blue_eyes_are_seen() -> None:
    found = measured(lambda picture: tinted(picture, (0.8, 1.0, 1.25), *EYES))
    assert found["irises"]["b"] < -2 and found["whites"]["b"] < -5 and found["whites"]["outside"] == 1
    assert abs(found["teeth"]["b"]) < 0.5


@pytest.mark.parametrize("light", [(1.04, 1.04, 1.04), (1.04, 1, 0.96)], ids=["brighter", "warmer"])
def test_light_is_no_discolouration(light: tuple[float, float, float]) -> None:
    found = measured(lambda picture: in_light(picture, light))
    assert all(found[name]["outside"] < 0.1 for name in ("teeth", "whites", "irises"))


def test_teeth_that_the_output_hides_are_not_counted() -> None:
    teeth = measured(lambda picture: tinted(picture, CLOSED, MOUTH))["teeth"]
    assert teeth["photos"] == 30 and teeth["faces"] == 0 and "outside" not in teeth


def test_usual_colours_follow_the_light_and_pass_over_outliers() -> None:
    draws = np.random.default_rng(0)
    skin = draws.normal(15, 6, (4000, 2))
    colours = 0.5 * skin + draws.uniform(-3, 3, (4000, 2))
    colours[:15] += 60
    usual = usual_colours(colours, skin)
    assert usual.slope == pytest.approx(0.5 * np.eye(2), abs=0.02)
    assert usual.lowest == pytest.approx([-3, -3], abs=0.2) and usual.highest == pytest.approx(
        [3, 3], abs=0.2
    )
    light = np.array([[20.0, 20.0]])
    assert not usual.outside(0.5 * light + 3.5, light).any()
    assert usual.outside(0.5 * light - (5, 0), light).tolist() == [[True, False, False, False]]
    assert usual.outside(0.5 * light + (0, 5), light).tolist() == [[False, False, False, True]]


@pytest.mark.parametrize("crop", ["tight", "ffhq"])
def test_landmarks_of_an_aligned_face(crop: str) -> None:
    """They are where the alignment puts them, for both cuts."""
    pixels = at_side(read_pixels(sorted(PERSON.glob("*.png"))[20]))
    if crop == "ffhq":
        low, high = round(0.308 * SIDE), round(0.888 * SIDE)
        left, right = round(0.21 * SIDE), round(0.79 * SIDE)
        whole = np.full_like(pixels, 128)
        whole[low:high, left:right] = cv2.resize(pixels, (right - left, high - low))
        marks = (aligned_landmarks(whole, crop) - (left, low)) / 0.58
    else:
        marks = aligned_landmarks(pixels, crop)
    eyes = marks[36:48].mean(0)
    assert eyes == pytest.approx((0.5 * SIDE, 0.288 * SIDE), abs=0.05 * SIDE)


# ---------------------------------------------------------------- the meter and its tables


class Changes(AgingModel):
    """Returns the photo at the first age, and changed in one way at each other one."""

    kind = "sam"
    input_size = output_size = 128
    crop = "tight"

    def __init__(self, *changes: Change) -> None:
        super().__init__()
        self.changes: tuple[Change, ...] = (lambda images: images, *changes)

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        made = [change(images) for change in self.changes]
        return torch.stack([made[int(age)] for age in age_grid(ages, images)[0]], dim=1)


@pytest.fixture(scope="module")
def appearance() -> dict[str, object]:
    """Figures of pictures of the demonstration person: unchanged, brighter, with a grid, and blurred."""
    paths = sorted(PERSON.glob("*.png"))[::2]
    images = torch.stack([read_image(path) for path in paths])
    ages = [0.0, 1.0, 2.0, 3.0]
    outputs = Changes(brighter, grid, blurred).age_path(images, ages)
    meter = AppearanceMeter(Changes(), ages)
    for part in range(0, len(paths), 8):
        meter.add(paths[part : part + 8], outputs[part : part + 8])
    judges = load_judges()
    _, photos = judges.measure(images)
    _, made = judges.measure(outputs)
    return meter.figures(torch.full((len(paths),), torch.nan), photos, made)


def test_each_fault_moves_its_figure(appearance: dict) -> None:
    same, bright, planted, soft = appearance["per_age"]
    assert same["spectrum"] < 1e-4 and same["frechet"] == pytest.approx(0, abs=1e-6)
    assert bright["spectrum"] < 0.2 < 3 < soft["spectrum"]
    assert planted["peak"]["height"] > bright["peak"]["height"] + 6
    assert (planted["peak"]["x"], planted["peak"]["y"]) == (0.1875, 0.125)
    assert bright["frechet"] * 5 < min(planted["frechet"], soft["frechet"])
    assert same["compared_photos"] == appearance["photos"] and not same["near_age"]
    assert same["colours"]["irises"]["photos"] > 10


def test_tables_tell_the_figures(appearance: dict) -> None:
    detail, teeth, _, irises = appearance_tables(appearance).split("\n\n")
    assert "0.19, 0.12" in detail.splitlines()[5] and len(detail.splitlines()) == 7
    assert detail.splitlines()[2].split("|")[-2].strip() == f"all {appearance['photos']}"
    assert teeth.splitlines()[-1].endswith("| 0 of 0 |") and len(irises.splitlines()) == 6
    row = appearance_of_methods({"one": {"appearance": appearance}}).splitlines()[-1]
    assert row.startswith("| one") and len(row.split("|")) == 10


def test_photos_near_the_target_age_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.appearance.meter.ENOUGH", 2)
    paths = sorted(PERSON.glob("*.png"))[:4]
    meter = AppearanceMeter(Changes(), [20.0, 90.0])
    images = torch.stack([read_image(path) for path in paths])
    meter.add(paths, torch.stack([images, images], dim=1))
    features = torch.eye(4)
    labels = torch.tensor([15.0, 30.0, 50.0, torch.nan])
    young, old = meter.figures(labels, features, features[:, None].repeat(1, 2, 1))["per_age"]
    assert young["compared_photos"] == 2 and young["near_age"]
    assert old["compared_photos"] == 4 and not old["near_age"]


def test_enlarged_photos_are_compared_where_they_have_detail(tmp_path: Path) -> None:
    write_image(noise(1, 32)[0], tmp_path / "1.png")
    write_image(noise(1, 32, seed=1)[0], tmp_path / "2.png")
    meter = AppearanceMeter(Changes(), [0.0])
    outputs = torch.stack([noise(1, 128), noise(1, 128, seed=1)])
    meter.add([tmp_path / "1.png", tmp_path / "2.png"], outputs)
    found = meter.figures(torch.full((2,), torch.nan), torch.eye(2), torch.eye(2)[:, None])
    profiles = [spectrum_of(part).profile for part in (outputs[:, 0], meter_photos(tmp_path))]
    assert found["per_age"][0]["spectrum"] == pytest.approx(distance(*profiles, share=0.25), abs=0.1)


def meter_photos(folder: Path) -> Tensor:
    return torch.stack([read_image(folder / f"{name}.png", 128, "lanczos") for name in (1, 2)])


# ---------------------------------------------------------------- personalised against global


class Always(Changes):
    """Makes one change at every age."""

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        made = self.changes[-1](images)
        return made[:, None].repeat(1, age_grid(ages, images).shape[1], 1, 1, 1)


class Nobody:
    """A judge that tells nothing."""

    def measure(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(images.shape[:-3]), torch.ones(*images.shape[:-3], 1)


def test_a_blurred_model_is_less_sharp_than_true_photos() -> None:
    images = torch.stack([read_image(path) for path in sorted(PERSON.glob("*.png"))[:3]])
    photos = PersonPhotos(images, torch.tensor([20.0, 30.0, 40.0]), ("a.png", "b.png", "c.png"))
    pairs = evaluate_personalization(Always(blurred), Always(brighter), photos, Nobody(), progress=False)
    found = means(pairs)
    assert found["input"]["sharpness"] == pytest.approx(1, abs=1e-6)
    assert found["global"]["sharpness"] < 0.6
    assert found["personalized"]["sharpness"] == pytest.approx(1, abs=0.05)
    cells = sharpness_table("true age", {"all": found}).splitlines()[-1].split("|")
    ratio = found["personalized"]["sharpness"] / found["global"]["sharpness"]
    assert float(cells[5]) == pytest.approx(ratio, abs=0.005)
