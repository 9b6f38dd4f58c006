"""Ages in names, folders of faces decoded once, and the sampler that is a function of its seed."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from datasets.age_parsing import parse_age
from datasets.faces import FaceFolder
from datasets.sampling import IndexSampler, balancing_weights
from utils.errors import InputError


def make_faces(folder: Path, count: int, size: int = 16) -> Path:
    """Writes ``count`` random pictures named by age."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{20 + index}_{index}.png")
    return folder


@pytest.mark.parametrize(
    ("name", "age"),
    [
        ("/a/b/30_1.jpg", 30),
        ("x/64_2.jpeg", 64),
        ("05_2.png", 5),
        ("100_0.png", 100),
        ("34.5_7.png", 34.5),
        ("0_1.jpg", 0),
        ("110_3.jpg", 100),
        ("116_3.jpg", 100),
        ("26_1_0_20170116174525125.jpg.chip.jpg", 26),
    ],
)
def test_age_of_a_name(name: str, age: float) -> None:
    assert parse_age(name) == age
    assert parse_age(name, official=True) == int(age)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "me.jpg",
            "_30.jpg",
            "30a.jpg",
            "-3_1.jpg",
            "IMG_30.jpg",
            "117_1.jpg",
            "20240131_1.jpg",
            "DSC_7.jpg",
        ),
        *(
            "1.jpg",
            "34.jpg",
            "34.5.png",
            "2 (1).jpg",
            "7 3.png",
            "12_05_2019.jpg",
            "34_7_2.png",
            "34_7 (1).png",
        ),
        *(
            "34_.png",
            "34_x.png",
            "34__7.png",
            "34,5_7.png",
            "34_7_.png",
            "34-7.png",
            "1e1_7.png",
            "34_7 .png",
        ),
        "٣٤_٧.png",
    ],
)
def test_no_age_in_a_name(name: str) -> None:
    for official in (False, True):
        with pytest.raises(InputError, match=re.escape(name)):
            parse_age(name, official)


def test_a_number_alone_is_told_how_to_become_an_age() -> None:
    with pytest.raises(InputError, match=r"34\.jpg; name it {age}_{idx}, e\.g\. 34_0\.jpg$"):
        parse_age("x/34.jpg")


@pytest.mark.parametrize("cache", [True, False, "auto"])
def test_samples(tmp_path: Path, cache: bool | str) -> None:
    folder = make_faces(tmp_path, 5)
    faces = FaceFolder(folder, 16, require_age=True, cache=cache)
    assert len(faces) == 5 and faces.ages.tolist() == [20, 21, 22, 23, 24]
    sample, mirrored = faces[2], faces[2, True]
    assert sample["image"].shape == (3, 16, 16) and sample["image"].dtype == torch.float32
    assert (sample["age"], sample["index"], sample["flip"], mirrored["flip"]) == (22, 2, False, True)
    assert torch.equal(mirrored["image"], sample["image"].flip(2))
    assert torch.equal(faces[-1]["image"], faces[4]["image"])
    with pytest.raises(IndexError):
        faces[5]
    batch = faces.batch([(2, False), (2, True), 4])
    assert torch.equal(batch["image"][0], sample["image"])
    assert torch.equal(batch["image"][1], mirrored["image"])
    assert batch["age"].tolist() == [22, 22, 24] and batch["index"].tolist() == [2, 2, 4]
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)


def test_the_cache_is_one_byte_tensor_within_its_budget(tmp_path: Path) -> None:
    folder = make_faces(tmp_path, 4)
    faces = FaceFolder(folder, 16)
    assert faces.images is not None and faces.images.dtype == torch.uint8
    assert faces.images.shape == (4, 3, 16, 16)
    assert FaceFolder(folder, 16, cache_bytes=4 * 3 * 16 * 16 - 1).images is None
    assert FaceFolder(folder, 8).images.shape == (4, 3, 8, 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_works_in_a_data_loader(tmp_path: Path, workers: int) -> None:
    faces = FaceFolder(make_faces(tmp_path, 6), 16, cache=workers == 0)
    sampler = IndexSampler(len(faces), seed=3, flip_probability=0.5)
    loader = DataLoader(faces, batch_size=4, sampler=sampler, num_workers=workers)
    batch = next(iter(loader))
    expected = [sampler.at(position) for position in range(4)]
    assert batch["image"].shape == (4, 3, 16, 16) and batch["age"].dtype == torch.float32
    assert list(zip(batch["index"].tolist(), batch["flip"].tolist(), strict=True)) == expected


def test_names_without_ages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_faces(tmp_path, 10)
    Image.new("RGB", (16, 16)).save(folder / "me.png")
    plain = FaceFolder(folder, 16)
    assert len(plain) == 11 and int(plain.ages.isnan().sum()) == 1
    aged = FaceFolder(folder, 16, require_age=True)
    assert len(aged) == 10 and [path.name for path, _ in aged.skipped] == ["me.png"]
    assert "no age in the file name" in capsys.readouterr().err


def test_a_bad_picture_is_named_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_faces(tmp_path, 12)
    data = (folder / "25_5.png").read_bytes()
    (folder / "25_5.png").write_bytes(data[: len(data) // 2])
    faces = FaceFolder(folder, 16)
    assert len(faces) == 11 and 25 not in faces.ages.tolist()
    assert torch.equal(faces[5]["image"], FaceFolder(folder, 16, cache=False)[6]["image"])
    error = capsys.readouterr().err
    assert "25_5.png" in error and "1 of 12 pictures" in error


def test_a_bad_picture_found_on_access(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_faces(tmp_path, 12)
    (folder / "25_5.png").write_bytes(b"nothing")
    faces = FaceFolder(folder, 16, cache=False)
    assert faces[5]["index"] == 6 and faces[5]["age"] == 26
    assert capsys.readouterr().err.count("25_5.png") == 1
    (folder / "26_6.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="more than a tenth"):
        faces[6]


def test_more_than_a_tenth_bad(tmp_path: Path) -> None:
    folder = make_faces(tmp_path, 10)
    for name in ("20_0.png", "21_1.png"):
        (folder / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"2 of 10 pictures .* more than a tenth.*20_0\.png"):
        FaceFolder(folder, 16)


def test_missing_and_empty_folder(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            FaceFolder(folder, 16)


def test_augment_applies_to_samples_and_batches(tmp_path: Path) -> None:
    faces = FaceFolder(make_faces(tmp_path, 3), 16, augment=lambda image: image * 0)
    assert not faces[0]["image"].any() and not faces.batch([0, 1])["image"].any()


def test_sampler_position_is_a_pure_function() -> None:
    first = list(itertools.islice(IndexSampler(7, seed=5), 30))
    assert first == [IndexSampler(7, seed=5).at(position) for position in range(30)]
    assert list(itertools.islice(IndexSampler(7, seed=5, start=11), 5)) == first[11:16]
    assert first != list(itertools.islice(IndexSampler(7, seed=6), 30))
    for epoch in range(4):
        assert sorted(index for index, _ in first[7 * epoch : 7 * epoch + 7]) == [*range(7)]
    ranks = [list(itertools.islice(IndexSampler(7, seed=5, rank=rank, world_size=2), 10)) for rank in (0, 1)]
    assert [item for pair in zip(*ranks, strict=True) for item in pair] == first[:20]


def test_sampler_flips_and_weights() -> None:
    flips = [flip for _, flip in itertools.islice(IndexSampler(100, flip_probability=0.25), 4000)]
    assert 0.2 < np.mean(flips) < 0.3
    assert not any(flip for _, flip in itertools.islice(IndexSampler(9, flip_probability=0), 50))
    weighted = IndexSampler(4, weights=[1, 0, 1, 2])
    counts = np.bincount([index for index, _ in itertools.islice(weighted, 4000)], minlength=4)
    assert counts.tolist() == [1000, 0, 1000, 2000]


def test_balancing_weights_even_out_the_decades() -> None:
    ages = [1] * 90 + [45] * 10
    weights = balancing_weights(ages, power=1.0)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())
    assert balancing_weights(ages, power=0.0).tolist() == [1] * 100
