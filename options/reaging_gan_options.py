"""Options of `--coach reaging_gan`."""

from dataclasses import dataclass

from criteria.reaging_objective import REAGING, ReAgingWeights
from models.reaging_gan.generator import LARGEST, SMALLEST
from options.ageing_options import AUTO
from options.base_options import TrainOptions
from options.conditional_options import AdaptiveAugmentOptions, age_groups_of
from options.encoder_options import LossNetworkOptions
from utils.age_groups import NAMED, AgeGroups
from utils.errors import InputError
from utils.faces.alignment import CROPS
from utils.typed_options import (
    Options,
    count,
    depth,
    fraction,
    group,
    option,
    path,
    pixels,
    positive,
    rate,
    weight,
    width,
)

SHEET_EPOCHS = 5


@dataclass(frozen=True, kw_only=True)
class ReAgingSizes(Options):
    """Sizes of generator and discriminator."""

    title = "network sizes"

    output_size: int = option(256, pixels, "side of the pictures in pixels")
    base_channels: int = option(64, width, "channels at full size; each halving doubles them")
    style_dim: int = option(256, width, "length of f_aw")
    residual_blocks: int = option(4, depth, "blocks of encoder and decoder at the size of f_id")
    discriminator_base_channels: int | None = option(
        None, width, "those of the discriminator; default: as the generator"
    )

    def check(self) -> None:
        """Raises ``InputError`` for a size that makes no network."""
        size = self.output_size
        if not SMALLEST <= size <= LARGEST or size & (size - 1):
            raise InputError(f"--output_size={size} is not a power of two from {SMALLEST} to {LARGEST}")


@dataclass(frozen=True, kw_only=True)
class FaceGroupOptions(Options):
    """The age groups of the faces, and the part of them that is changed."""

    title = "data"

    train_dataset: str = option(kind=path, help="folder or zip archive of aligned faces", metavar="DIR")
    test_dataset: str | None = option(None, path, "such faces for validation and sheets", metavar="DIR")
    n_test: int = option(64, positive, "validation faces")
    test_batch_size: int = option(16, group, "validation faces at a time")
    age_groups: str = option(
        "decades", str, f"the classes: ranges of years, or {', '.join(NAMED)}", metavar="0-10,11-20,..."
    )
    cond: bool = option(
        False, bool, "the class of each face is its label in dataset.json of the data set, with its groups"
    )
    class_balance: float = option(
        0.0, fraction, "0: classes come as often as in the data set, 1: all equally often"
    )
    crop: str = option(
        AUTO, str, "how the faces are cut; auto: ffhq from 256 pixels on, else tight", choices=(AUTO, *CROPS)
    )
    masks: str = option(
        "landmarks",
        str,
        "what is changed: the outline of dlib's landmarks with the forehead; files: what is white in a .png "
        "of the same name; none: the whole picture",
        choices=("landmarks", "files", "none"),
    )
    mask_folder: str | None = option(None, path, "masks of the training faces", metavar="DIR")
    test_mask_folder: str | None = option(
        None, path, "masks of the validation faces; default: in --mask_folder", metavar="DIR"
    )

    @property
    def groups(self) -> AgeGroups | None:
        """The age groups; None where the data set tells them.

        Raises:
            InputError: they are none.
        """
        return None if self.cond else age_groups_of(self.age_groups)

    def check(self) -> None:
        """Raises ``InputError`` for groups that are none or a single one, and for masks without a place."""
        groups = self.groups
        if groups is not None and len(groups) < 2:
            raise InputError(f"--age_groups={self.age_groups}: at least two are needed")
        if (self.masks == "files") != (self.mask_folder is not None):
            raise InputError("--masks=files and --mask_folder go together: give both or neither")


@dataclass(frozen=True, kw_only=True)
class ReAgingSchedule(Options):
    """Epochs, in which everything that changes during a training is counted."""

    title = "training"

    epochs: int = option(30, positive, "passes over the training faces, unless --max_steps is given")
    rec_epochs: int = option(10, count, "epochs after which --rec_lambda_later holds")
    learning_rate: float = option(1e-4, rate, "of the generator's Adam")
    discriminator_learning_rate: float | None = option(None, rate, "default: that of the generator")
    decay_epochs: int = option(10, positive, "epochs after which both rates are multiplied, each time")
    decay: float = option(0.5, rate, "with what they are multiplied")
    ema_halflife: float = option(
        5500, rate, "of the averaged generator, in images; 0.999 a step of 8 is 5545"
    )


@dataclass(frozen=True, kw_only=True)
class ReAgingOptions(
    TrainOptions,
    ReAgingSizes,
    FaceGroupOptions,
    ReAgingSchedule,
    LossNetworkOptions,
    ReAgingWeights,
    AdaptiveAugmentOptions,
):
    """What the coach of Re-Aging GAN reads."""

    title = "Re-Aging GAN"
    objective = REAGING
    unread = ()

    batch_size: int = option(8, group, "pictures a step, of all processes together")
    max_steps: int = option(0, count, "steps in all; 0: as --epochs says")
    image_interval: int | None = option(None, count, f"write sheets; default: every {SHEET_EPOCHS} epochs")
    checkpoint_path: str | None = option(
        None, path, "start from the networks of this training", metavar="FILE"
    )
    adversarial_form: str = option(
        "log",
        str,
        "GAN loss of the generator: log(1 - D) as in the paper, or -log(D), which pulls where D is sure",
        choices=("log", "nonsaturating"),
    )
    r1: float = option(1.0, weight, "weight of the R1 penalty")
    d_reg_every: int = option(16, count, "steps between R1 penalties; 0: none")
    aging_augment: bool = option(
        False,
        bool,
        "the age classifier of --aging_lambda sees shifted and recoloured results, so that small patterns do "
        "not fool it",
    )
