"""Options of a conditional GAN: its classes, and the augmentation of what its discriminator sees."""

from dataclasses import dataclass

from configs.paths_config import model_paths
from models.stylegan2.augment import PIPES
from utils.age_groups import AgeGroups, parse_age_groups
from utils.errors import InputError, naming
from utils.typed_options import Options, fraction, option, path, rate, weight


def age_groups_of(text: str | None) -> AgeGroups | None:
    """Reads ``--age_groups``; None without any.

    Raises:
        InputError: the ranges make no groups.
    """
    with naming("--age_groups"):
        return None if text is None else parse_age_groups(text)


@dataclass(frozen=True, kw_only=True)
class ClassOptions(Options):
    """The classes of a conditional training."""

    title = "classes (without any of these the training is unconditional)"

    cond: bool = option(
        False, bool, "conditional: the class of each picture is its label in dataset.json of the data set"
    )
    age_groups: str | None = option(
        None, str, "conditional: the class is the age group of the age in the name", metavar="0-10,11-20,..."
    )
    class_balance: float = option(
        0.0, fraction, "0: classes come as often as in the data set, 1: all equally often"
    )

    @property
    def is_conditional(self) -> bool:
        """Whether pictures have classes."""
        return self.cond or bool(self.age_groups)

    @property
    def groups(self) -> AgeGroups | None:
        """The age groups, where they make the classes.

        Raises:
            InputError: they are none.
        """
        return age_groups_of(self.age_groups or None)

    def check(self) -> None:
        """Raises ``InputError`` for ranges that make no groups, or classes from two sources."""
        if self.groups is not None and self.cond:
            raise InputError(
                "--cond takes the classes from dataset.json and --age_groups from the ages in the names; "
                "choose one (--age_groups= undoes that of a preset)"
            )


@dataclass(frozen=True, kw_only=True)
class AdaptiveAugmentOptions(Options):
    """Adaptive discriminator augmentation (Karras et al. 2020)."""

    title = "discriminator augmentation"

    aug: str = option(
        "noaug",
        str,
        "ada: by an adaptive probability; fixed: by --p; noaug",
        choices=("noaug", "ada", "fixed"),
    )
    p: float = option(0.0, fraction, "probability of --aug=fixed")
    target: float = option(0.6, fraction, "mean sign of the discriminator on photos that --aug=ada holds")
    augpipe: str = option("bgc", str, "what may be done to pictures", choices=tuple(PIPES))
    initstrength: float = option(0.0, fraction, "probability with which --aug=ada begins")
    ada_kimg: float | None = option(
        None,
        rate,
        "thousands of pictures in which that probability can go from 0 to 1; default 500, and 100 where "
        "training goes on from --checkpoint_path",
    )


@dataclass(frozen=True, kw_only=True)
class FeatureOpponentOptions(Options):
    """A second discriminator, of a few weights."""

    title = "second discriminator"

    features_lambda: float = option(
        0.0, weight, "weight of a second discriminator that sees with the age classifier; 0: none"
    )
    age_classifier: str = option(
        model_paths["demo_age_classifier"], path, "the classifier that it sees with", metavar="FILE"
    )
