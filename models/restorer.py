"""Restores faces with weights that the user brings (GFPGAN, Real-ESRGAN and others), by way of `spandrel`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

FACE_SIZE = 512  # pixels of the FFHQ crops that face restorers take
LARGEST_INPUT = 512  # pixels; a super-resolution network of factor 4 makes 2048 of them
# Where the weights lie in files of BasicSR and its kin, in this order.
_ENTRIES = ("params_ema", "params", "state_dict", "g_ema", "model")


class Restorer:
    """A restoration or super-resolution network.

    Attributes:
        for_faces: whether it takes FFHQ crops of 512 pixels and nothing else.
        name: of its architecture.

    Raises:
        InputError: spandrel is not installed, or the file cannot be read or is of no architecture it knows.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        try:
            from spandrel import ImageModelDescriptor, ModelLoader
        except ImportError as error:
            raise InputError("--enhance needs spandrel; run: pip install 'spandrel>=0.4'") from error
        try:
            model = ModelLoader(device).load_from_state_dict(dict(_weights(load_checkpoint(path))))
        except InputError:
            raise
        except Exception as error:  # spandrel raises its own error types, and torch's for wrong shapes
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
            raise InputError(
                f"{path} holds no restoration network that spandrel knows ({reason}); use for instance "
                "GFPGANv1.4.pth or RealESRGAN_x2plus.pth"
            ) from error
        if (
            not isinstance(model, ImageModelDescriptor)
            or model.input_channels != 3
            or model.output_channels != 3
        ):
            raise InputError(
                f"{path} ({model.architecture.name}) does not turn RGB pictures into RGB pictures"
            )
        self._model = model.eval()
        self._device = device
        self.for_faces = model.purpose == "FaceSR"
        self.name = model.architecture.name

    def input_size(self, side: float) -> int:
        """Side in pixels of the crop to take of a square that is ``side`` pixels wide in the photo."""
        return FACE_SIZE if self.for_faces else int(min(max(round(side), 16), LARGEST_INPUT))

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Restores one picture (1, 3, S, S) in [-1, 1]; the same one gives the same result.

        Returns:
            (1, 3, R, R) in [-1, 1] on the CPU.
        """
        image = image.to(self._device)
        with torch.random.fork_rng(
            devices=[self._device] if torch.device(self._device).type == "cuda" else []
        ):
            torch.manual_seed(0)  # GFPGAN adds noise
            if self._model.architecture.id == "GFPGAN":
                # It works on [-1, 1]; spandrel's own call (0.4) feeds it [0, 1] and cuts what is below 0.
                result = self._model.model(image, return_rgb=False)[0]
            else:
                result = self._model((image + 1) / 2) * 2 - 1
        return result.float().clamp(-1, 1).cpu()


def _weights(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict of a training file."""
    for entry in _ENTRIES:
        if isinstance(checkpoint.get(entry), Mapping):
            return checkpoint[entry]
    return checkpoint
