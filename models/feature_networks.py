"""Networks whose features compare two sets of pictures: those of faces, and FID's Inception network."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.auxiliary import load_age_classifier, load_identity
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.pictures.tensors import to_float, to_uint8

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"


class FeatureNetwork(nn.Module):
    """Describes pictures (B, 3, S, S) in [-1, 1], as they are once written to files, by vectors.

    Attributes:
        name: of files that keep such vectors.
        sources: what the network was read from, as plain values.
    """

    name: str
    sources: dict[str, Any]

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D) in float32."""
        return self.describe(to_uint8(images)).float()

    @abstractmethod
    def describe(self, pixels: Tensor) -> Tensor:
        """Features (B, D) of pictures (B, 3, S, S) in uint8."""

    def scales(self, photos: Tensor) -> Tensor:
        """Factors (D,) of the features, by those of photos (N, D)."""
        return torch.ones(photos.shape[1], dtype=torch.float64)


class FaceFeatures(FeatureNetwork):
    """Embedding of a face network beside the logits of an age network.

    Each network's features count in units of their own spread over the photos, so that both have a say.

    Args:
        identity: file of the face network.
        age: file of the age network.
        device: where they compute.

    Raises:
        InputError: a file cannot be used.
    """

    name = "faces"

    def __init__(self, identity: str | Path, age: str | Path, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self.identity, self.age = load_identity(identity, device), load_age_classifier(age, device)
        self.sources = {"identity": _source(identity), "age": _source(age)}
        with torch.no_grad():
            blank = torch.zeros(1, 3, self.identity.input_size, self.identity.input_size, device=device)
            self._embedding = self.identity.embed(blank).shape[1]

    def describe(self, pixels: Tensor) -> Tensor:
        images = to_float(pixels)
        parts = [self.identity.embed(images), self.age.logits(images)]
        return torch.cat([part.float() for part in parts], dim=1)

    def scales(self, photos: Tensor) -> Tensor:
        spreads = photos.double().var(0)
        parts = (spreads[: self._embedding], spreads[self._embedding :])
        return torch.cat([part.sum().clamp_min(1e-12).rsqrt().expand(len(part)) for part in parts])


class InceptionFeatures(FeatureNetwork):
    """The last features (B, 2048) of FID's Inception v3, by the package torch-fidelity.

    Args:
        path: its weights; None looks for them in torch's cache.
        device: where it computes.

    Raises:
        InputError: the package or the weights are not there.
    """

    name = "inception"

    def __init__(self, path: str | Path | None = None, device: str | torch.device = "cpu") -> None:
        super().__init__()
        file = Path(path) if path else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise InputError(
                "fid and kid need the package torch-fidelity; run: pip install torch-fidelity (or choose "
                "--metrics=frechet, which needs none)"
            ) from error
        if not file.is_file():
            raise InputError(
                f"fid and kid need the Inception network of torch-fidelity, and there is no {file}; download "
                f"{INCEPTION_URL} and name it with --inception_weights (or choose --metrics=frechet)"
            )
        load_checkpoint(file)  # refuses whatever is no plain state dict, which the package itself would run
        try:
            network = FeatureExtractorInceptionV3(
                "inception", ["2048"], feature_extractor_weights_path=str(file)
            )
        except (RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{file} does not hold the Inception network of torch-fidelity "
                f"({str(error)[:120]}); download {INCEPTION_URL}"
            ) from error
        self.network = network.to(device)
        self.sources = {"inception": _source(file)}

    def describe(self, pixels: Tensor) -> Tensor:
        return self.network(pixels)[0]


def _source(path: str | Path) -> dict[str, Any]:
    return {"file": Path(path).name, "bytes": Path(path).stat().st_size}
