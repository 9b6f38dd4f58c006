"""The judges: an age and an identity network that no loss used, and what their files say about them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.paths_config import model_paths
from models.auxiliary import AgeClassifier, IdentityNetwork, load_age_classifier, load_identity
from models.dlib_judges import AGE_LICENCE, AGE_SIZE, DLIB, IDENTITY_SIZE, DlibAge, DlibIdentity
from models.kinds import checkpoint_kind
from utils.files.checkpoints import load_checkpoint

JUDGED_AT_ONCE = 64


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


@dataclass(frozen=True)
class Judges:
    """Both judges with their cards, and where networks of them compute."""

    age: AgeClassifier | DlibAge
    identity: IdentityNetwork | DlibIdentity
    age_card: NetworkCard
    identity_card: NetworkCard
    device: torch.device = torch.device("cpu")

    @torch.inference_mode()
    def measure(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Judges pictures as they would be written to files, that is clamped to [-1, 1].

        Args:
            images: (..., 3, S, S) aligned faces.

        Returns:
            Ages in years (...,) and unit embeddings (..., D), on the CPU.
        """
        ages, embeddings = [], []
        for part in images.flatten(0, -4).split(JUDGED_AT_ONCE):
            part = part.to(self.device).float().clamp(-1, 1)
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
    """Loads both judges; the bundled ones where no file is named, those of dlib for ``dlib``.

    Raises:
        InputError: a file cannot be read or is something else, or a package is missing.
    """
    ages, age_card = _age_judge(str(age or model_paths["demo_judge_age"]), device)
    people, identity_card = _identity_judge(str(identity or model_paths["demo_judge_identity"]), device)
    return Judges(ages, people, age_card, identity_card, torch.device(device))


def _age_judge(file: str, device: str | torch.device) -> tuple[AgeClassifier | DlibAge, NetworkCard]:
    if file == DLIB:
        return DlibAge(), NetworkCard(DLIB, "judge_age", "ResNet", AGE_SIZE, teacher=AGE_LICENCE)
    return load_age_classifier(file, device), NetworkCard.from_checkpoint(load_checkpoint(file), file)


def _identity_judge(
    file: str, device: str | torch.device
) -> tuple[IdentityNetwork | DlibIdentity, NetworkCard]:
    if file == DLIB:
        return DlibIdentity(), NetworkCard(DLIB, "judge_identity", "ResNet", IDENTITY_SIZE, teacher=DLIB)
    return load_identity(file, device), NetworkCard.from_checkpoint(load_checkpoint(file), file)
