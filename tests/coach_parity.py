"""The networks behind the golden files of both coaches, and what their entries mean in our units."""

import functools
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

import parity
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.lpips_loss import LPIPSLoss, build_lpips, torchvision_name
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.objective import Measures, Objective, weighted_terms
from models.auxiliary import AgeClassifier, IdentityNetwork
from models.dex_vgg import VGG
from models.encoders.model_irse import Backbone

STARTS = ("start_from_encoded_w_plus", "start_from_latent_avg")  # flags of the network, not of its losses


def fill_with(module: torch.nn.Module, seed: int, rename: Any = None) -> torch.nn.Module:
    """Fills a module by the rules of family ``plain``."""
    parity.fill_library.fill_(module.state_dict(), seed, "plain", rename)
    return module


def lpips_with_filled_backbone(network: str, seed: int) -> LPIPSLoss:
    """LPIPS with the heads of the package and a backbone filled under its torchvision names.

    The weights travel through a file, as those of a user do.
    """
    backbone = build_lpips(network, download=False).net
    fill_with(backbone, seed, torchvision_name)
    state = {torchvision_name(key): value for key, value in backbone.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.pth"
        torch.save(state, path)
        return LPIPSLoss(network, path)


class Remember(torch.nn.Module):
    """A frozen network that many entries ask about the same pictures; it computes each of them once."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.input_size = getattr(network, "input_size", 0)
        self.known: dict[bytes, Any] = {}

    def forward(self, images: torch.Tensor) -> Any:
        if torch.is_grad_enabled() and images.requires_grad:
            return self.network(images)
        content = hashlib.blake2b(images.detach().contiguous().numpy().tobytes()).digest()
        if content not in self.known:
            with torch.no_grad():
                self.known[content] = self.network(images)
        return self.known[content]


@functools.lru_cache(maxsize=2)  # both precisions of a seed
def terms(seed: int, dtype: torch.dtype = torch.float32) -> tuple[IDLoss, LPIPSLoss, AgingLoss]:
    """Identity, perceptual and ageing loss with the weights of the coaches' golden files."""
    backbone = Remember(fill_with(parity.quick(Backbone, 112, 50, "ir_se", drop_ratio=0.6), seed))
    identity = IDLoss(IdentityNetwork(backbone))
    aging = AgingLoss(AgeClassifier(Remember(fill_with(parity.quick(VGG), seed))))
    perceptual = lpips_with_filled_backbone("alex", seed)
    perceptual.model.net = Remember(perceptual.model.net)
    return identity.to(dtype), perceptual.to(dtype), aging.to(dtype)


def measures(seed: int, dtype: torch.dtype = torch.float32) -> Measures:
    """These losses for an objective."""
    identity, perceptual, aging = terms(seed, dtype)
    return Measures(identity, perceptual, aging)


def objective(entry: dict[str, Any], groups: Any, kind: Any, measures: Measures, **more: Any) -> Objective:
    """The objective of an entry, with the flags and log names of the official coach.

    Args:
        entry: of a golden file.
        groups: the terms.
        kind: class of their options.
        measures: the losses.
        more: further options.
    """
    flags = {key: value for key, value in entry["args"]["flags"].items() if key not in STARTS}
    rows = weighted_terms(groups, kind(**flags, **more))
    return Objective(rows, measures, distinct_log_names=False)


def latent_avg(entry: dict[str, Any], styles: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The mean latent of the golden networks."""
    recipe = {"fn": "array", "key": "latent_avg", "shape": [styles, 512], "seed": entry["weights"]["seed"]}
    return parity.tensor(recipe, dtype)


def average_code(entry: dict[str, Any], styles: int, dtype: torch.dtype) -> torch.Tensor | None:
    """The code from which the flags of an entry measure W-norms, if any."""
    starts = any(entry["args"]["flags"].get(name) for name in STARTS)
    return latent_avg(entry, styles, dtype) if starts else None


def returned(total: torch.Tensor, entry: dict[str, Any], name: str) -> torch.Tensor:
    """The loss that the official coach returns for a pass, ``real`` or ``cycle``.

    It multiplies that of the cycle by ``cycle_lambda`` after it has written the log.
    """
    return total * entry["args"]["flags"]["cycle_lambda"] if name == "cycle" else total


def reference_bank(entry: dict[str, Any], dtype: torch.dtype) -> ReferenceBank:
    """The photos that an entry of MyTimeMachine compares with, as the identity network sees them."""
    references = entry["args"]["reference_images"]
    return _reference_bank(entry["weights"]["seed"], dtype, json.dumps(references))


@functools.lru_cache(maxsize=2)
def _reference_bank(seed: int, dtype: torch.dtype, references: str) -> ReferenceBank:
    rows, identity = json.loads(references), terms(seed, dtype)[0]
    with torch.no_grad():
        features = [identity.features(parity.tensor(row["image"], dtype)[None]) for row in rows]
    return ReferenceBank(torch.cat(features), tuple(float(row["age"]) for row in rows))


def years(values: list[float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Ages of an entry, in units of 100 years, as years."""
    return torch.tensor([round(100 * value, 6) for value in values], dtype=dtype)


def check_log(ours: dict[str, torch.Tensor], golden: dict[str, float], tolerance: float = 1e-5) -> None:
    """Asserts that the scalars of a pass have the names and values of the golden log dictionary."""
    assert set(ours) == set(golden)
    for name, value in golden.items():
        difference = abs(float(ours[name]) - value)
        assert difference <= tolerance * max(1.0, abs(value)), (
            f"{name}: {float(ours[name])} instead of {value}"
        )


def check_per_image(
    ours: dict[str, torch.Tensor], golden: list[dict[str, float]], tolerance: float = 1e-5
) -> None:
    """The same for the values of each image."""
    assert set(ours) == set(golden[0])
    for row, log in enumerate(golden):
        for name, value in log.items():
            difference = abs(float(ours[name][row]) - value)
            assert difference <= tolerance * max(1.0, abs(value)), (
                f"{name}[{row}]: {ours[name][row]} for {value}"
            )
