"""dlib's 128-number face descriptor (King 2017) of aligned faces and of faces in photos.

The teacher of the bundled identity network. Two photos of one adult lie about 0.45 apart, two people 0.8.
"""

from typing import Any

import numpy as np

from utils.errors import InputError
from utils.faces.alignment import model_path, predictor_path

NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
DESCRIPTOR_LENGTH = 128
BORDER = 0.3  # of the side: the descriptor's own crop is wider than the tight square


class FaceDescriptor:
    """Computes descriptors of aligned faces of one size.

    Raises:
        InputError: dlib or its model files are not installed.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise InputError("the face descriptor needs dlib; run: pip install dlib-bin") from error
        self._dlib = dlib
        self._landmarks = dlib.shape_predictor(str(predictor_path()))
        self._network = dlib.face_recognition_model_v1(str(model_path(NETWORK)))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the (128,) float32 descriptor of one (S, S, 3) uint8 aligned face."""
        side = pixels.shape[0]
        border = round(BORDER * side)
        padded = np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="reflect")
        face = self._dlib.rectangle(border, border, border + side - 1, border + side - 1)
        return self._descriptor_of(padded, self._landmarks(padded, face))

    def in_photo(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Returns the (128,) float32 descriptor of a face of a photo.

        Args:
            pixels: uint8 RGB (H, W, 3).
            landmarks: (68, 2) in pixels, see ``utils.faces.alignment.detect_faces``.
        """
        points = [self._dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
        corners = np.rint([*landmarks.min(0), *landmarks.max(0)]).astype(int).tolist()
        shape = self._dlib.full_object_detection(self._dlib.rectangle(*corners), points)
        return self._descriptor_of(np.ascontiguousarray(pixels), shape)

    def _descriptor_of(self, pixels: np.ndarray, shape: Any) -> np.ndarray:
        chip = self._dlib.get_face_chip(pixels, shape, size=150, padding=0.25)
        return np.array(self._network.compute_face_descriptor(chip), dtype=np.float32)
