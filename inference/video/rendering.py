"""The second pass through a clip: its frames with aged faces, batch by batch, a few frames in memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from inference.video.ageing import Directions, TemporalAgeing
from inference.video.analysis import Face
from inference.video.tracks import bell
from utils.errors import InputError
from utils.faces.alignment import Crop, anchor_square, warp_square
from utils.faces.paste import fit_square, paste_squares
from utils.pictures.tensors import to_float, to_uint8


@dataclass(eq=False)
class Role:
    """A face that is aged in a shot, and what is known of it while its frames are rendered.

    Attributes:
        face: where it is.
        years: (N,) its target age in each of its frames.
        prepared: of :meth:`TemporalAgeing.prepare`; None before it is needed.
        features: by number of the frame.
        images: (3, S, S), by number of the frame.
    """

    face: Face
    years: np.ndarray
    prepared: Directions | None = None
    features: dict[int, Tensor] = field(default_factory=dict)
    images: dict[int, Tensor] = field(default_factory=dict)

    def anchors(self, frame: int) -> np.ndarray | None:
        """Where the face is in a frame; None where it is not aged."""
        place = frame - self.face.start
        inside = 0 <= place < len(self.face.shares) and self.face.shares[place] > 0
        return self.face.anchors[place] if inside else None

    def forget(self, frame: int) -> None:
        """Forgets what is known of the frames before one; what was prepared too when all are."""
        for known in (self.features, self.images):
            for number in [number for number in known if number < frame]:
                del known[number]
        if frame >= self.face.stop:
            self.prepared = None


class Renderer:
    """Renders frames of a clip.

    Args:
        ageing: how the model ages clips.
        crop: how the model's faces are cut.
        deviation: of the average over time, in frames.
        device: where the model computes.
        at_once: faces that it sees together.
    """

    def __init__(
        self, ageing: TemporalAgeing, crop: Crop, deviation: float, device: torch.device, at_once: int
    ) -> None:
        self._ageing, self._crop, self._device, self._at_once = ageing, crop, device, at_once
        self._weights = bell(deviation)
        self.reach = len(self._weights) // 2

    def frames(
        self, pixels: Iterable[np.ndarray], batches: Sequence[range], first: int, roles: Sequence[Role]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields frames and their results from one frame on.

        Args:
            pixels: the frames of all batches, uint8 RGB (H, W, 3).
            batches: their numbers, in order, those that are computed together in one.
            first: number of the first that is yielded; those of the batches before it count in averages only.
            roles: the faces that are aged.

        Raises:
            InputError: the model makes no pictures.
        """
        source = iter(pixels)
        waiting: deque[tuple[range, list[np.ndarray]]] = deque()
        for batch in batches:
            own = [frame for _, frame in zip(batch, source, strict=False)]
            if len(own) < len(batch):
                raise InputError("the clip ended early: it was changed meanwhile; start again")
            self._look(batch, own, roles)
            waiting.append((batch, own))
            last = batch is batches[-1]
            while waiting and (last or waiting[0][0].stop + self.reach <= batch.stop):
                yield from self._finish(*waiting.popleft(), first, roles)
                for role in roles:
                    role.forget((waiting[0][0].start if waiting else batch.stop) - self.reach)

    def _look(self, batch: range, frames: Sequence[np.ndarray], roles: Sequence[Role]) -> None:
        """Takes from the faces of a batch what will be averaged."""
        found: list[tuple[Role, int]] = []
        crops: list[np.ndarray] = []
        for number, pixels in zip(batch, frames, strict=True):
            for role in roles:
                anchors = role.anchors(number)
                if anchors is not None:
                    found.append((role, number))
                    crops.append(warp_square(pixels, self._square(anchors), self._ageing.model.input_size))
        if not found:
            return
        images = as_images(crops).to(self._device)
        years = np.array([role.years[number - role.face.start] for role, number in found])
        places = range(self._at_once, len(years), self._at_once)
        with torch.inference_mode():
            parts = zip(images.split(self._at_once), np.split(years, places), strict=True)
            features = torch.cat([self._ageing.features(*part) for part in parts])
        for (role, number), feature, image in zip(found, features, images, strict=True):
            role.features[number], role.images[number] = feature, image

    def _finish(
        self, batch: range, frames: Sequence[np.ndarray], first: int, roles: Sequence[Role]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the frames of a batch with their results, where the features after them are known."""
        faces: dict[int, list[_Aged]] = {number: [] for number in batch}
        for role in roles:
            numbers = [number for number in batch if number >= first and number in role.features]
            for aged in self._aged(role, numbers):
                faces[aged.number].append(aged)
        for number, pixels in zip(batch, frames, strict=True):
            if number >= first:
                yield pixels, self._pasted(pixels, faces[number])

    def _aged(self, role: Role, numbers: Sequence[int]) -> "Iterator[_Aged]":
        if not numbers:
            return
        if role.prepared is None:
            with torch.inference_mode():
                samples = as_images(list(role.face.samples)).to(self._device)
                role.prepared = self._ageing.prepare(samples, role.years)
        places = [number - role.face.start for number in numbers]
        with torch.inference_mode():
            features = torch.stack([self._average(role, number) for number in numbers])
            images = torch.stack([role.images[number] for number in numbers])
            pictures, masks = self._ageing.pictures(features, images, role.years[places], role.prepared)
        if not pictures.isfinite().all():
            raise InputError("the model makes pictures of values that are no numbers; use another checkpoint")
        for index, (number, place) in enumerate(zip(numbers, places, strict=True)):
            yield _Aged(
                number,
                self._square(role.face.anchors[place]),
                as_pixels(pictures[index]),
                _mask(
                    None if masks is None else masks[index],
                    float(role.face.shares[place]),
                    pictures.shape[-1],
                ),
            )

    def _average(self, role: Role, number: int) -> Tensor:
        """The feature of a frame, averaged with those about it that the face has."""
        shifts = range(-self.reach, self.reach + 1)
        near = [(number + shift, self._weights[self.reach + shift]) for shift in shifts]
        known = [(role.features[other], weight) for other, weight in near if other in role.features]
        total = sum(weight for _, weight in known)
        return sum((feature * (weight / total) for feature, weight in known), torch.zeros(()).to(known[0][0]))

    def _square(self, anchors: np.ndarray) -> np.ndarray:
        return anchor_square(anchors, self._crop.s, self._crop.k)

    @staticmethod
    def _pasted(pixels: np.ndarray, faces: "Sequence[_Aged]") -> np.ndarray:
        if not faces:
            return pixels
        squares = [aged.square for aged in faces]
        pictures = [fit_square(aged.picture, aged.square) for aged in faces]
        return paste_squares(pixels, squares, pictures, masks=[aged.mask for aged in faces])


@dataclass(frozen=True)
class _Aged:
    """An aged face in a frame: its picture, uint8 (R, R, 3), and where that counts, uint8 (R, R)."""

    number: int
    square: np.ndarray
    picture: np.ndarray
    mask: np.ndarray


def _mask(mask: Tensor | None, share: float, size: int) -> np.ndarray:
    """Where a picture counts: inside the mask of the model, and as far as the face is aged."""
    if mask is None:
        return np.full((size, size), round(255 * share), np.uint8)
    return (255 * share * mask[0].float()).round().clamp(0, 255).byte().cpu().numpy()


def as_images(faces: Sequence[np.ndarray]) -> Tensor:
    """Pictures, uint8 (S, S, 3) each, as float32 (B, 3, S, S) in [-1, 1]."""
    return to_float(torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).contiguous())


def as_pixels(picture: Tensor) -> np.ndarray:
    """A picture (3, R, R) in [-1, 1] as uint8 (R, R, 3)."""
    return to_uint8(picture).permute(1, 2, 0).cpu().contiguous().numpy()
