"""The judges: an age and an identity network that no loss used, and what their files say about them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from configs.paths_config import model_paths
from models.auxiliary import AgeClassifier, IdentityNetwork, load_age_classifier, load_identity
from models.kinds import checkpoint_kind
from utils.faces.descriptor import FaceDescriptor
from utils.files.checkpoints import load_checkpoint
from utils.pictures.tensors import resize, to_uint8

JUDGED_AT_ONCE = 64
DLIB, DLIB_SIZE = "dlib", 150  # what --judge_identity calls it, and the pixels that it sees


@dataclass(frozen=True)
class NetworkCard:
    """What the file of a helper network records about itself; None where it says nothing.

    Attributes:
        file: its path.
        kind: ``judge_age``, ``judge_identity``, ``age_classifier`` or ``identity``.
        network: type of the network, ``vgg`` or ``ir_se``.
        input_size: side of its input in pixels.
        data_share: percent of the training folder it learned from, such as ``60-100``.
        seed: seed of its training.
        teacher: where its labels came from, such as ``dlib`` for the descriptor of dlib.
    """

    file: str
    kind: str
    network: str | None = None
    input_size: int | None = None
    data_share: str | None = None
    seed: int | None = None
    teacher: str | None = None

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any], file: str | Path) -> "NetworkCard":
        """Reads the card of a checkpoint's content."""
        architecture, opts = content.get("architecture") or {}, content.get("opts") or {}
        return cls(
            file=str(file),
            kind=checkpoint_kind(content),
            network=architecture.get("network"),
            input_size=architecture.get("input_size"),
            data_share=opts.get("data_share"),
            seed=opts.get("seed"),
            teacher=content.get("teacher"),
        )

    def sentence(self) -> str:
        """The card in one line of text."""
        size = None if self.input_size is None else f"{self.input_size} px"
        named = {"data share": self.data_share, "seed": self.seed, "teacher": self.teacher}
        if self.kind in ("judge_age", "age_classifier"):
            named["teacher"] = self.teacher or "labels"
        facts = [fact for fact in (self.network, size) if fact]
        facts += [f"{name} {value if value is not None else 'not recorded'}" for name, value in named.items()]
        return f"{self.file} ({self.kind}: {', '.join(facts)})"


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
        pixels = to_uint8(resize(images, DLIB_SIZE)).permute(0, 2, 3, 1).cpu().numpy()
        found = torch.stack([torch.from_numpy(self._descriptor(face)) for face in pixels])
        return F.normalize(found, dim=1)


@dataclass(frozen=True)
class Judges:
    """Both judges with their cards."""

    age: AgeClassifier
    identity: IdentityNetwork | DlibIdentity
    age_card: NetworkCard
    identity_card: NetworkCard

    @torch.inference_mode()
    def measure(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Judges pictures as they would be written to files, that is clamped to [-1, 1].

        Args:
            images: (..., 3, S, S) aligned faces.

        Returns:
            Ages in years (...,) and unit embeddings (..., D), on the CPU.
        """
        device = next(self.age.parameters()).device
        ages, embeddings = [], []
        for part in images.flatten(0, -4).split(JUDGED_AT_ONCE):
            part = part.to(device).float().clamp(-1, 1)
            ages.append(self.age.predict_age(part).float().cpu())
            embeddings.append(self.identity.embed(part).float().cpu())
        shape = images.shape[:-3]
        return torch.cat(ages).view(shape), torch.cat(embeddings).unflatten(0, shape)

    def cards(self) -> dict[str, dict[str, Any]]:
        """Both cards as plain dictionaries."""
        return {"age": asdict(self.age_card), "identity": asdict(self.identity_card)}


def load_judges(
    age: str | Path | None = None, identity: str | Path | None = None, device: str | torch.device = "cpu"
) -> Judges:
    """Loads both judges; the bundled ones where no file is named, dlib's descriptor for ``dlib``.

    Raises:
        InputError: a file cannot be read or is something else.
    """
    age = age or model_paths["demo_judge_age"]
    identity = identity or model_paths["demo_judge_identity"]
    age_judge = load_age_classifier(age, device)
    age_card = NetworkCard.from_checkpoint(load_checkpoint(age), age)
    if str(identity) == DLIB:
        card = NetworkCard(DLIB, "judge_identity", "ResNet", DLIB_SIZE, teacher=DLIB)
        return Judges(age_judge, DlibIdentity(), age_card, card)
    identity_card = NetworkCard.from_checkpoint(load_checkpoint(identity), identity)
    return Judges(age_judge, load_identity(identity, device), age_card, identity_card)
