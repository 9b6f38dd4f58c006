"""Masks of faces: the outline of landmarks, files, and what is kept of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_toys as toys
from PIL import Image
from skimage.data import astronaut

from datasets import masked_faces
from datasets.masked_faces import MaskedFaces, file_masks, landmark_masks, landmarks_of
from utils.age_groups import parse_age_groups
from utils.errors import InputError
from utils.faces.alignment import CROPS, align_photo, detect_faces, face_square
from utils.faces.masks import (
    FaceMasks,
    aligned_landmarks,
    as_tensor,
    blended,
    landmark_mask,
    oval_mask,
)
from utils.faces.paste import FacePhoto
from utils.pictures.tensors import to_float

GROUPS = parse_age_groups(toys.AGE_GROUPS)


def square_landmarks() -> np.ndarray:
    """A face whose outline is the square from 0.25 to 0.75: brows at 0.4, chin at 0.75, eyes 0.2 apart."""
    points = np.full((68, 2), 0.5)
    points[:17, 0] = np.linspace(0.25, 0.75, 17)
    points[:17, 1] = 0.75
    points[[0, 16], 1] = 0.4
    points[[1, 15], 0] = 0.25, 0.75
    points[17:27, 0], points[17:27, 1] = np.linspace(0.25, 0.75, 10), 0.4
    points[36:42, 0], points[42:48, 0] = 0.4, 0.6
    return points


def test_a_mask_is_the_feathered_hull_with_the_forehead() -> None:
    mask = landmark_mask(square_landmarks(), 100).astype(int)
    # The forehead: 0.4 of the way from the chin (0.75) to the brows (0.4), above these: up to 0.26.
    assert mask.shape == (100, 100) and not mask[:25].any() and not mask[76:].any()
    assert not mask[:, :24].any() and not mask[:, 77:].any()
    # The feather: a quarter of 0.2, which is 5 pixels; a smooth step of the depth.
    row = mask[50]
    assert (row[31:70] == 255).all() and (np.diff(row[20:50]) >= 0).all() and (np.diff(row[50:]) <= 0).all()
    depth = np.arange(6) / 5
    rising = 255 * depth**2 * (3 - 2 * depth)
    start = int(np.flatnonzero(row)[0]) - 1
    assert row[start : start + 6].tolist() == pytest.approx(np.rint(rising).tolist())


def test_a_mask_that_reaches_the_border_does_not_fade_there() -> None:
    mask = landmark_mask(square_landmarks() + [0.0, 0.3], 64)
    assert mask[-1, 32] == 255 and mask[-1, 4] == 0


@pytest.mark.parametrize("crop", CROPS)
def test_landmarks_of_an_aligned_face_need_no_detector(crop: str) -> None:
    """Compared with the landmarks of the whole photo, carried into the aligned square."""
    square = face_square(detect_faces(astronaut())[0].landmarks, CROPS[crop].s, CROPS[crop].k)
    across, down = square[3] - square[0], square[1] - square[0]
    offsets = detect_faces(astronaut())[0].landmarks - square[0]
    expected = np.linalg.solve(np.stack([across, down], 1), offsets.T).T
    for size in (64, 256):
        found = aligned_landmarks(align_photo(astronaut(), size, CROPS[crop]), crop)
        assert np.abs(found - expected).mean() < 0.02


@pytest.mark.parametrize("crop", CROPS)
def test_the_oval_lies_where_the_face_is(crop: str) -> None:
    outline = landmark_mask(aligned_landmarks(align_photo(astronaut(), 64, CROPS[crop]), crop), 64) > 127
    oval = oval_mask(crop, 64) > 127
    assert (outline & oval).sum() > 0.7 * (outline | oval).sum()
    assert oval_mask(crop, 64)[-1, 0] == 0


def test_masks_of_a_batch() -> None:
    face = torch.from_numpy(align_photo(astronaut(), 64).copy()).permute(2, 0, 1)
    masks = FaceMasks("tight")(to_float(face)[None].expand(2, -1, -1, -1), 32)
    assert masks.shape == (2, 1, 32, 32) and masks.min() == 0 and masks.max() == 1
    assert torch.equal(masks[0], masks[1])


def test_blending_keeps_what_is_outside_to_the_bit() -> None:
    inputs, pictures = torch.randn(2, 1, 3, 8, 8), 100 * torch.randn(2, 4, 3, 8, 8)
    masks = torch.zeros(2, 1, 1, 8, 8)
    masks[..., 2:4, :] = 1.0
    masks[..., 4:6, :] = 0.5
    result = blended(inputs, pictures, masks)
    assert torch.equal(result[..., :2, :], inputs.expand_as(pictures)[..., :2, :])
    assert torch.equal(result[..., 2:4, :], pictures[..., 2:4, :])
    torch.testing.assert_close(result[..., 4:6, :], (inputs + pictures)[..., 4:6, :] / 2)
    assert blended(inputs, pictures, None) is pictures


def test_a_photo_takes_a_face_where_its_mask_lets_it() -> None:
    photo = astronaut()
    square = np.array([[100.0, 50.0], [100.0, 250.0], [300.0, 250.0], [300.0, 50.0]])
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 255
    face = np.full((64, 64, 3), 9, np.uint8)
    plain = FacePhoto(photo, [square]).with_faces([face])
    masked = np.asarray(FacePhoto(photo, [square], masks=[left]).with_faces([face]))
    reduced = FacePhoto(photo, [square], masks=[left]).reduced(256)
    assert (masked[:, 206:] == photo[:, 206:]).all(), "the right half of the square"
    assert (masked[:, :190] == np.asarray(plain)[:, :190]).all() and (masked[150, 150] == 9).all()
    assert (np.asarray(reduced.with_faces([face]))[:, 104:] == reduced.pixels[:, 104:]).all()


# ---------------------------------------------------------------- data sets


@pytest.fixture
def faces(tmp_path: Path) -> MaskedFaces:
    return MaskedFaces(toys.make_faces(tmp_path / "faces", (20, 30, 50, 60)), 16, GROUPS)


def test_masks_are_turned_with_their_faces(faces: MaskedFaces) -> None:
    assert "mask" not in faces.batch([0]) and "mask" not in faces[0]
    masks = np.random.default_rng(0).integers(0, 256, (4, 16, 16), np.uint8)
    faces.mask_of = lambda number: masks[number]
    batch = faces.batch([2, (2, True), 0])
    assert torch.equal(batch["mask"], as_tensor(np.stack([masks[2], masks[2][:, ::-1], masks[0]])))
    assert batch["mask"].shape == (3, 1, 16, 16)
    assert torch.equal(faces[(2, True)]["mask"], batch["mask"][1])
    assert torch.equal(batch["label"], faces.label_of[[2, 2, 0]])


def test_landmarks_are_found_once(
    faces: MaskedFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def looked(pixels: np.ndarray, crop: str) -> np.ndarray:
        seen.append(pixels.shape)
        return square_landmarks()

    monkeypatch.setattr(masked_faces, "aligned_landmarks", looked)
    cache, pictures = tmp_path / "run" / "landmarks.pt", {"pictures": 4, "names_and_sizes": "a"}
    first = landmarks_of(faces, "tight", cache, pictures)
    assert seen == [(40, 40, 3)] * 4 and first.shape == (4, 68, 2), "at the size of the files"
    assert torch.equal(landmarks_of(faces, "tight", cache, pictures), first) and len(seen) == 4
    landmarks_of(faces, "ffhq", cache, pictures)
    landmarks_of(faces, "ffhq", cache, {**pictures, "names_and_sizes": "b"})
    assert len(seen) == 12, "for another crop or other pictures anew"
    faces.mask_of = landmark_masks(first, 16)
    expected = as_tensor(landmark_mask(square_landmarks(), 16)[None])
    torch.testing.assert_close(faces.batch([3])["mask"], expected)


def test_masks_from_files(faces: MaskedFaces, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    with pytest.raises(InputError, match=r"4 of 4 masks are missing in .*masks: .*20_0\.png"):
        file_masks(faces, folder)
    folder.mkdir()
    for path in faces.paths:
        grey = np.zeros((40, 40), np.uint8)
        grey[:20] = 255
        Image.fromarray(grey).save(folder / path.name)
    faces.mask_of = file_masks(faces, folder)
    mask = faces.batch([1])["mask"][0, 0]
    assert (mask[:7] == 1).all() and (mask[9:] == 0).all()
    (folder / faces.paths[1].name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"30_1\.png"):
        faces.batch([1])


def test_a_picture_of_no_face_has_a_mask_too() -> None:
    for pixels in (np.zeros((32, 32, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)):
        mask: Any = landmark_mask(aligned_landmarks(pixels, "tight"), 32)
        assert mask.shape == (32, 32) and mask.dtype == np.uint8
