"""The rules behind a personal data set by value: ages, head pose, sharpness, the person, the split."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from datasets.personal.ages import Age, age_of, read_age_table, years_between
from datasets.personal.measures import FaceMeasure, Photo
from datasets.personal.person import find_person
from datasets.personal.verdicts import Thresholds, Verdict, judge, split
from options.parser import parse_options
from options.personal_options import PersonalOptions
from utils.errors import InputError
from utils.faces.quality import _HEAD, _POSE_POINTS, face_print, head_pose, print_likeness, sharpness
from utils.pictures.reading import capture_date

BIRTH = date(1980, 6, 15)


def photo(name: str, taken: date | None = None) -> Photo:
    return Photo(Path("album") / name, name, "", 1, taken=taken)


@pytest.mark.parametrize(
    ("name", "taken", "table", "birth", "years", "source"),
    [
        ("34_2.jpg", None, None, None, 34, "file name"),
        ("34.5_2.jpg", date(2000, 1, 1), None, None, 34.5, "file name"),
        ("IMG_1.jpg", date(2000, 6, 14), None, BIRTH, 19, "EXIF date"),
        ("IMG_1.jpg", date(2000, 6, 15), None, BIRTH, 20, "EXIF date"),
        ("IMG_1.jpg", date(2000, 6, 15), {"IMG_1.jpg": 21.5}, BIRTH, 21.5, "table"),
        ("34_2.jpg", None, {}, BIRTH, 34, "file name"),
        ("34.jpg", None, None, BIRTH, None, "has no EXIF date, its name is not {age}_{idx}"),
        ("7.jpg", None, {}, None, None, "is not in the table, its name is not {age}_{idx}"),
        ("IMG_1.jpg", None, None, None, None, "its name is not {age}_{idx}"),
        ("20210405_1.jpg", None, None, None, None, "its name is not {age}_{idx}"),
        (
            "a.jpg",
            date(1970, 1, 1),
            None,
            BIRTH,
            None,
            "taken on 1970-01-01, which does not fit the birth date",
        ),
    ],
)
def test_age_sources(
    name: str, taken: date | None, table: dict | None, birth: date | None, years: float | None, source: str
) -> None:
    age = age_of(photo(name, taken), table, birth)
    assert age.years == years and age.source.startswith(source)


def test_years_of_a_leap_day() -> None:
    assert years_between(date(2000, 2, 29), date(2001, 2, 28)) == 0
    assert years_between(date(2000, 2, 29), date(2001, 3, 1)) == 1


def test_age_table(tmp_path: Path) -> None:
    known = ["a.jpg", "x/b.jpg", "x/c.jpg", "y/c.jpg"]
    table = tmp_path / "ages.csv"
    table.write_text("\ufefffile,age\na.jpg,30\nb.jpg, 31.5\n\nx/c.jpg,104\n", encoding="utf-8")
    assert read_age_table(table, known) == {"a.jpg": 30, "x/b.jpg": 31.5, "x/c.jpg": 100}
    for text, message in (
        ("a.jpg", "line 1: 'a.jpg' is not file,age"),
        ("a.jpg,30\na.jpg,31", "line 2: a.jpg occurs twice"),
        ("a.jpg,130", "not an age"),
        ("c.jpg,30", "2 photos have that name"),
        ("z.jpg,30", "no such photo"),
        ("b.jpg,30\nx/b.jpg,30", "names a photo twice"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            read_age_table(table, known)


def test_capture_date_comes_from_the_shutter(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2020:01:01 00:00:00"  # last change
    Image.new("RGB", (8, 8)).save(tmp_path / "scan.jpg", exif=exif)
    assert capture_date(tmp_path / "scan.jpg") is None
    exif.get_ifd(0x8769)[0x9003] = "1999:12:31 23:59:59"
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg", exif=exif)
    assert capture_date(tmp_path / "photo.jpg") == date(1999, 12, 31)
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    Image.new("RGB", (8, 8)).save(tmp_path / "unset.jpg", exif=exif)
    assert capture_date(tmp_path / "unset.jpg") is None


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 0), (-45, 0), (0, 25), (20, -15)])
def test_head_pose_of_a_turned_head(yaw: float, pitch: float) -> None:
    """Turning to the right of the picture brings the nose to the right, lowering the chin brings it down."""
    a, b = np.radians([yaw, pitch])
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    landmarks = np.zeros((68, 2))
    landmarks[list(_POSE_POINTS)] = 0.3 * (_HEAD @ (nod @ turn).T)[:, :2] + [200, 100]
    nose, eyes = landmarks[30] - 0.5 * (landmarks[36] + landmarks[45]), landmarks[45] - landmarks[36]
    assert head_pose(landmarks)[1] == pytest.approx(pitch, abs=6)
    assert head_pose(landmarks)[0] == pytest.approx(yaw, abs=6)
    if yaw:
        assert np.sign(nose @ eyes) == np.sign(yaw)


def test_sharpness_ignores_contrast_and_sees_blur() -> None:
    face = skimage.data.astronaut()[50:178, 160:288]
    dim = (face / 3 + 60).astype(np.uint8)
    assert sharpness(dim) == pytest.approx(sharpness(face), rel=0.05)
    values = [sharpness(cv2.GaussianBlur(face, (0, 0), sigma)) for sigma in (0.3, 0.6, 1, 2)]
    assert values == sorted(values, reverse=True) and values[2] > 3.6 > values[3]
    assert sharpness(np.full((128, 128, 3), 90, np.uint8)) == 0


def test_likeness_of_mirrored_and_other_pictures() -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert print_likeness(face_print(first), face_print(first[:, ::-1])) == pytest.approx(1)
    assert abs(print_likeness(face_print(first), face_print(second))) < 0.3
    assert print_likeness(np.zeros((32, 32)), face_print(second)) == 0


def crowd(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors of people 0.8 apart, each photo 0.3 from the mean of its person; photos are numbered."""
    random = np.random.default_rng(0)
    means = np.eye(128)[: len(counts)] * 0.8 / np.sqrt(2)
    noise = random.normal(size=(sum(counts), 128))
    noise *= 0.3 / np.linalg.norm(noise, axis=1, keepdims=True)
    return (np.repeat(means, counts, 0) + noise).astype(np.float32), np.arange(sum(counts))


def test_person_is_who_is_most_often_seen() -> None:
    descriptors, photos = crowd(6, 10, 3)
    inside = find_person(descriptors, photos, 0.5).distances(descriptors) <= 0.5
    assert inside.tolist() == [False] * 6 + [True] * 10 + [False] * 3


def test_another_person_s_poor_photo_has_both_reasons() -> None:
    prints = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)

    def one(number: int, distance: float, sharpness: float) -> Photo:
        descriptor = np.zeros(128, np.float32)
        descriptor[0], descriptor[1 + number] = distance, 0.25
        face = FaceMeasure(
            np.zeros((68, 2)), descriptor, prints[number], 1.0, 100.0, 0.0, sharpness, 0.0, 0.0
        )
        small = np.repeat(prints[number][:, :, None], 3, 2)
        return replace(photo(f"3{number}_0.jpg"), sha256=str(number), faces=[face], thumbnail=small)

    photos = [one(number, 0.0, 8.0) for number in range(4)] + [one(4, 0.7, 3.3)]
    verdicts = judge(photos, [Age(30.0, "file name")] * 5, Thresholds())
    assert [verdict.status for verdict in verdicts] == ["train"] * 4 + ["other person"]
    assert "from the person" in verdicts[4].reason and "sharpness 3.3 is below 3.6" in verdicts[4].reason
    photos[4] = one(4, 0.5, 3.3)  # 0.57 from the person: a poor picture may lie so far away
    verdict = judge(photos, [Age(30.0, "file name")] * 5, Thresholds())[4]
    assert verdict.status == "blurred" and "from the person" in verdict.reason


def test_person_of_the_reference() -> None:
    descriptors, photos = crowd(6, 10, 3)
    inside = find_person(descriptors, photos, 0.5, descriptors[:2]).distances(descriptors) <= 0.5
    assert inside.tolist() == [True] * 6 + [False] * 13


def test_two_equally_frequent_people_need_a_reference() -> None:
    descriptors, photos = crowd(6, 7)
    with pytest.raises(InputError, match=r"in 7 and 6 photos.*--reference"):
        find_person(descriptors, photos, 0.5)


def accepted(*years: float) -> list[Verdict]:
    return [Verdict(photo(f"{n}.jpg"), Age(age, "table"), "train") for n, age in enumerate(years)]


def test_split_by_ranges_and_by_share() -> None:
    verdicts = accepted(50, 20, 30, 41, 40)
    assert [v.status for v in split(verdicts, [(30, 40), (50, 60)])] == [
        "test",
        "train",
        "test",
        "train",
        "test",
    ]
    many = split(accepted(*range(20, 60)), share=0.1)
    assert [v.age.years for v in many if v.status == "test"] == [25, 35, 45, 55]
    assert all(v.status == "train" for v in split(verdicts))
    with pytest.raises(InputError, match="none training photos"):
        split(verdicts, [(0, 100)])


FOLDERS = ["--input_dir=photos", "--output_dir=me"]


def test_limits_of_the_options() -> None:
    assert parse_options(PersonalOptions, FOLDERS).limits == Thresholds()
    ffhq = parse_options(PersonalOptions, [*FOLDERS, "--crop=ffhq", "--max_yaw=30"])
    assert (ffhq.side, ffhq.smallest_face) == (1024, 256)
    # the filters measure the tight square, 0.58 of FFHQ's
    assert ffhq.limits == Thresholds(min_size=256 * 0.58, max_yaw=30)
    assert parse_options(PersonalOptions, [*FOLDERS, "--min_size=50"]).limits.min_size == 50


def test_settings_of_the_manifest() -> None:
    opts = parse_options(PersonalOptions, [*FOLDERS, "--birth_date=1980-12-31", "--test_range=20-25,60-70"])
    assert opts.settings() == {
        "input_dir": "photos", "output_dir": "me", "crop": "tight", "size": 128, "enhance": None,
        "ages": None, "birth_date": "1980-12-31", "reference": (), "identity_distance": 0.5, "min_size": 64.0,
        "min_sharpness": 3.6, "max_outside": 0.15, "max_yaw": 45.0, "max_pitch": 45.0,
        "duplicate_distance": 0.2, "duplicate_correlation": 0.93, "keep": (), "drop": (),
        "test_range": ((20, 25), (60, 70)), "test_share": None,
    }  # fmt: skip
    assert list(opts.settings())[:3] == ["input_dir", "output_dir", "crop"]


def test_no_faces_at_all() -> None:
    (verdict,) = judge(
        [Photo(Path("a.jpg"), "a.jpg", "", 1, width=80, height=80)], [Age(3, "table")], Thresholds()
    )
    assert verdict.status == "no face"
