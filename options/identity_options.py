"""Options of `--coach identity`."""

from dataclasses import dataclass

from options.age_classifier_options import AuxiliaryOptions
from utils.errors import InputError
from utils.typed_options import option, path, rate, weight, width


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
        "folders: ArcFace margin, one folder a person; dlib: distil its descriptor; network: distil "
        "--teacher_network; auto: by the folder",
        choices=("auto", "folders", "dlib", "network"),
    )
    teacher_network: str | None = option(
        None, path, "an identity network of any layout to distil (--teacher=network)", metavar="FILE"
    )
    start_from_teacher: bool = option(
        False, bool, "begin with the weights of --teacher_network, which must be of the same architecture"
    )
    margin: float = option(0.5, weight, "ArcFace margin in radians")
    scale: float = option(32.0, rate, "ArcFace scale")
    relation_lambda: float = option(1.0, weight, "weight of the pairwise similarities (dlib, network)")

    def check(self) -> None:
        """Raises ``InputError`` for a teacher that is not named, or named without being the teacher."""
        super().check()
        if (self.teacher == "network") != (self.teacher_network is not None):
            raise InputError("--teacher=network and --teacher_network=FILE go together; give both")
        if self.start_from_teacher and self.teacher_network is None:
            raise InputError("--start_from_teacher needs --teacher=network and --teacher_network=FILE")
