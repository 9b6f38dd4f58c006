"""Options of `--coach psp`."""

from dataclasses import dataclass

from criteria.psp_objective import PSP
from criteria.weights import ReconstructionWeights
from options.encoder_options import EncoderTrainOptions
from utils.errors import InputError
from utils.typed_options import option, path, rate


@dataclass(frozen=True, kw_only=True)
class PSPOptions(EncoderTrainOptions, ReconstructionWeights):
    """What the coach of pSp inversion reads."""

    title = "pSp"
    objective = PSP

    decoder_learning_rate: float | None = option(None, rate, "default: that of the encoder")
    grow_from: str | None = option(
        None, path, "start from a pSp checkpoint whose generator is half the size", metavar="FILE"
    )
    full_size_losses: bool = option(
        False,
        bool,
        "compare pictures at the generator's size; officially at that of the encoder's input",
    )

    def check(self) -> None:
        """Raises ``InputError`` if options contradict each other."""
        if self.decoder_learning_rate and not self.train_decoder:
            raise InputError("--decoder_learning_rate needs --train_decoder")
        if self.grow_from and self.checkpoint_path:
            raise InputError(
                "--checkpoint_path and --grow_from exclude each other: go on from a pSp, or grow one"
            )
        if self.input_nc != 3:
            raise InputError(f"--input_nc={self.input_nc}: the encoder of pSp reads RGB, --input_nc=3")
