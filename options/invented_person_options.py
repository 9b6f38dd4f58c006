"""The command line of `scripts/make_demo_person.py`."""

from dataclasses import dataclass

from configs.paths_config import dataset_paths, model_paths
from utils.typed_options import Options, Unread, at_least, count, fraction, option, path, positive


@dataclass(frozen=True, kw_only=True)
class InventedPersonOptions(Options):
    """Options of `scripts/make_demo_person.py`."""

    title = "person"
    unread = (Unread("device", official=False, default="auto"),)

    sam: str = option(model_paths["demo_sam"], path, "what ages the faces", metavar="FILE")
    stylegan_weights: str = option(model_paths["demo_stylegan2"], path, "what invents them", metavar="FILE")
    age_classifier: str = option(
        model_paths["demo_age_classifier"], path, "tells the age of a picture", metavar="FILE"
    )
    identity_network: str = option(
        model_paths["demo_identity"], path, "tells which faces survive encoding", metavar="FILE"
    )
    output_dir: str = option(
        dataset_paths["demo_person"], path, "train/ and held_out/ go here", metavar="DIR"
    )
    train: int = option(38, at_least(2), "training pictures")
    held_out: int = option(14, positive, "held-out pictures")
    deviation: float = option(1.0, fraction, "share of the second face at 75 years, 0 to 1")
    seed: int = option(5, count, "which person")
