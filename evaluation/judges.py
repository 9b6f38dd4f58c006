"""Which judges a command line names, and how far they are independent of the losses behind a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.paths_config import model_paths
from models.judges import Judges, NetworkCard, load_judges
from options.evaluate_options import JudgingOptions
from utils.device import select_device
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

# Kind of judge -> option of a training that names the network of the losses, and its bundled file.
LOSS_NETWORKS = {
    "age": ("age_classifier", "demo_age_classifier"),
    "identity": ("identity_network", "demo_identity"),
}


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
