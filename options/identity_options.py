"""Options of `--coach identity`."""

from dataclasses import dataclass

from options.age_classifier_options import AuxiliaryOptions
from utils.typed_options import option, rate, weight, width


@dataclass(frozen=True, kw_only=True)
class IdentityOptions(AuxiliaryOptions):
    """What the coach of the identity network reads."""

    title = "identity network"

    kind: str = option(
        "identity", str, "what the file is for: losses, or judging", choices=("identity", "judge_identity")
    )
    embedding_dim: int = option(128, width, "length of the embedding (that of dlib is 128)")
    teacher: str = option(
        "auto",
        str,
        "folders: ArcFace margin, one folder a person; dlib: distil its descriptor; auto: by the folder",
        choices=("auto", "folders", "dlib"),
    )
    margin: float = option(0.5, weight, "ArcFace margin in radians")
    scale: float = option(32.0, rate, "ArcFace scale")
    relation_lambda: float = option(1.0, weight, "weight of the pairwise similarities (dlib)")
