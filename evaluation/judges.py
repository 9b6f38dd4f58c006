"""The judges: an age and an identity network that no loss used, and what their files say about them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.paths_config import model_paths
from evaluation.dlib_judges import AGE_LICENCE, AGE_SIZE, DLIB, IDENTITY_SIZE, DlibAge, DlibIdentity
from models.auxiliary import AgeClassifier, IdentityNetwork, load_age_classifier, load_identity
from models.kinds import checkpoint_kind
from options.evaluate_options import JudgingOptions
from utils.device import select_device
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

JUDGED_AT_ONCE = 64
# Kind of judge -> option of a training that names the network of the losses, and its bundled file.
LOSS_NETWORKS = {
    "age": ("age_classifier", "demo_age_classifier"),
    "identity": ("identity_network", "demo_identity"),
}


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


def chosen_judges(options: JudgingOptions) -> Judges:
    """Loads the judges that a command line names.

    Raises:
        InputError: device or a file cannot be used.
    """
    return load_judges(options.judge_age, options.judge_identity, select_device(options.device))


def loss_network_cards(model_opts: Mapping[str, Any]) -> dict[str, NetworkCard | None]:
    """Cards of the networks whose losses trained a model, by the options in its checkpoint.

    A file that is not here any more is looked for among the bundled ones, by its name.
    """
    cards: dict[str, NetworkCard | None] = {}
    for name, (option, bundled) in LOSS_NETWORKS.items():
        cards[name] = None
        recorded = Path(str(model_opts.get(option) or bundled))
        near = Path(model_paths[bundled])
        candidates = (
            [recorded, near] if recorded.name == near.name or near.stem in recorded.parts else [recorded]
        )
        for path in candidates:
            if path.is_file():
                try:
                    cards[name] = NetworkCard.from_checkpoint(load_checkpoint(path), path)
                except InputError:
                    continue
                break
    return cards


def independence(judge: NetworkCard, loss: NetworkCard | None) -> list[str]:
    """Sentences on how far a judge is independent of the network of the losses."""
    notes = []
    if not judge.kind.startswith("judge_"):
        notes.append(
            f"{judge.file} is no judge but a network for losses ({judge.kind}); its figures flatter the model"
        )
    if loss is None:
        return [*notes, f"{judge.file}: the model does not tell which network its losses used"]
    if Path(judge.file).resolve() == Path(loss.file).resolve():
        return [*notes, f"{judge.file} is the very network that the losses used; its figures prove nothing"]
    shared = [
        what
        for what, ours, theirs in (
            ("network type", judge.network, loss.network),
            ("data share", judge.data_share, loss.data_share),
            ("seed", judge.seed, loss.seed),
            ("teacher", judge.teacher, loss.teacher),
        )
        if ours is not None and ours == theirs
    ]
    common = f"shares {', '.join(shared)} with" if shared else "shares nothing recorded with"
    other = f"{loss.network}, data share {loss.data_share}, seed {loss.seed}"
    return [*notes, f"{judge.kind} {common} the network of the losses ({loss.file}: {other})"]


def independence_notes(judges: Judges, checkpoint: str | Path) -> list[str]:
    """Says what both judges are, and how independent of the losses behind the model in a file.

    Raises:
        InputError: the file cannot be read.
    """
    trained_with = loss_network_cards(load_checkpoint(checkpoint).get("opts") or {})
    return [
        f"age judge: {judges.age_card.sentence()}",
        f"identity judge: {judges.identity_card.sentence()}",
        *independence(judges.age_card, trained_with["age"]),
        *independence(judges.identity_card, trained_with["identity"]),
    ]
