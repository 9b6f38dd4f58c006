"""Options of `--coach age_classifier`, and what it shares with `--coach identity`."""

from dataclasses import dataclass

from options.base_options import TrainOptions, parse_numbers, parse_share
from utils.errors import InputError
from utils.typed_options import fraction, option, path, pixels, positive, rate, weight, width

# Numbers that --network_channels and --network_depths take for each network.
NETWORK_SIZES = {"vgg": (5, 5), "ir_se": (5, 4)}
SMALLEST_INPUT = {"vgg": 32, "ir_se": 16}


@dataclass(frozen=True, kw_only=True)
class AuxiliaryOptions(TrainOptions):
    """What both auxiliary networks share: architecture, data and its share, optimiser."""

    title = "network and data"

    kind: str = option("", str, "what the file is for: losses, or judging")
    network: str = option("vgg", str, "its architecture", choices=("vgg", "ir_se"))
    input_size: int = option(64, pixels, "side of the network's input")
    network_channels: str | None = option(
        None, str, "width of each stage (vgg: 5, ir_se: stem and 4)", metavar="N,N,..."
    )
    network_depths: str | None = option(
        None, str, "convolutions (vgg) or units (ir_se) of each stage", metavar="N,N,..."
    )
    hidden: int = option(256, width, "width of the hidden linear layers of vgg")
    train_dataset: str = option(kind=path, help="folder or zip archive of aligned faces", metavar="DIR")
    test_dataset: str | None = option(None, path, "folder of aligned faces for validation", metavar="DIR")
    data_share: str = option("0-100", str, "percent of the training folder used", metavar="A-B")
    learning_rate: float = option(1e-3, rate, "of AdamW, at its highest")
    weight_decay: float = option(1e-2, weight, "of AdamW")
    hard_radius: float = option(
        0.0,
        weight,
        "train on the worst change of each picture of at most this Euclidean length, in units of [-1, 1], so "
        "that the network looks at what people see; 0: none, 2 at 64 pixels: strong",
    )
    ema_steps: int = option(500, positive, "steps over which the saved weights average")

    @property
    def channels(self) -> list[int] | None:
        """Width of each stage; None stands for the usual ones."""
        return parse_numbers(self.network_channels, "--network_channels", NETWORK_SIZES[self.network][0])

    @property
    def depths(self) -> list[int] | None:
        """Depth of each stage; None stands for the usual ones."""
        return parse_numbers(self.network_depths, "--network_depths", NETWORK_SIZES[self.network][1])

    @property
    def share(self) -> tuple[float, float]:
        """Percentages between which the files of the training folder lie."""
        return parse_share(self.data_share)

    def check(self) -> None:
        """Raises ``InputError`` for lists of another length, a share that is none, or too small an input."""
        _ = self.share, self.channels, self.depths
        smallest = SMALLEST_INPUT[self.network]
        if self.input_size < smallest:
            raise InputError(
                f"--input_size={self.input_size}: --network={self.network} needs at least {smallest}"
            )
        parts = self.gradient_accumulation_steps
        if self.batch_size < 2 * parts:
            divided = f" in {parts} parts" if parts > 1 else ""
            raise InputError(
                f"--batch_size={self.batch_size}{divided}: the norms of the network need at least two "
                f"pictures {'a part' if divided else 'a batch'}"
            )


@dataclass(frozen=True, kw_only=True)
class AgeClassifierOptions(AuxiliaryOptions):
    """What the coach of the age classifier reads."""

    title = "age classifier"

    kind: str = option(
        "age_classifier",
        str,
        "what the file is for: losses, or judging",
        choices=("age_classifier", "judge_age"),
    )
    label_deviation: float = option(3.0, rate, "years of spread of the class labels")
    expectation_lambda: float = option(0.1, weight, "weight of |expected age - age| in years")
    age_balance: float = option(0.5, fraction, "0: ages as in the data, 1: all groups alike")
