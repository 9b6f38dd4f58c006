"""Options of `--coach mytimemachine`."""

from dataclasses import dataclass

from configs.paths_config import model_paths
from criteria.mytimemachine_objective import MYTIMEMACHINE, MyTimeMachineWeights
from models.adapters import ADAPTERS
from options.base_options import CheckpointingOptions, TrainOptions
from options.encoder_options import (
    EncoderSizes,
    FolderOptions,
    LossNetworkOptions,
    OptimizerOptions,
    TargetAgeOptions,
)
from options.judge_options import JudgeOptions
from utils.errors import InputError
from utils.typed_options import Unread, count, option, path, positive, unread_flags, width

IN_FILE = "official flag without effect: --checkpoint_path tells it"


@dataclass(frozen=True, kw_only=True)
class MyTimeMachineOptions(
    TrainOptions,
    CheckpointingOptions,
    FolderOptions,
    OptimizerOptions,
    LossNetworkOptions,
    MyTimeMachineWeights,
    TargetAgeOptions,
    JudgeOptions,
):
    """What the coach of MyTimeMachine reads; the sizes of the network come from `--checkpoint_path`."""

    title = "MyTimeMachine"
    objective = MYTIMEMACHINE
    unread = (
        *unread_flags(EncoderSizes, ("output_size", "start_from_latent_avg"), reason=IN_FILE),
        Unread("input_nc", positive, 4, reason=IN_FILE),
        Unread("label_nc", int, 0, reason="official flag without effect: labels beside the pictures"),
        Unread("start_from_encoded_w_plus", None, False, reason="official flag: it is always so"),
        Unread("pretrained_psp_path", path, None, reason=IN_FILE),
        Unread("stylegan_weights", path, model_paths["stylegan_ffhq"], reason=IN_FILE),
        Unread("train_encoder", None, False, reason="official flag: trains the adapter, always so"),
        Unread("gpus", int, 1, reason="official flag without effect; use torchrun"),
        Unread("test_batch_size", positive, 2, reason="official flag without effect: no test batches"),
        Unread("test_workers", count, 2, reason="official flag without effect: pictures stay in memory"),
        *unread_flags(
            EncoderSizes,
            (
                "style_dim",
                "n_mlp",
                "channel_multiplier",
                "channels",
                "encoder_size",
                "encoder_channels",
                "encoder_units",
                "style_channels",
            ),
            official=False,
        ),
    )

    max_steps: int = option(15_000, positive, "steps in all")
    save_interval: int | None = option(2000, count, "write iteration_N.pt")
    test_dataset: str | None = option(
        None, path, "faces that the sheets show instead of the training photos", metavar="DIR"
    )
    n_test: int = option(64, positive, "the sheets choose among so many of them")
    train_decoder: bool = option(
        False, bool, "official flag that is refused: the generator stays that of SAM"
    )
    checkpoint_path: str | None = option(None, path, "the SAM checkpoint to personalise", metavar="FILE")
    personalize: str = option(
        "adapter",
        str,
        "what learns: an adapter, or SAM's own encoder (the paper's fine-tuned SAM)",
        choices=("adapter", "encoder"),
    )
    blender_type: str = option(
        "bottleneck",
        str,
        "the adapter: the official one, one offset, a linear map of each layer, an offset times a number "
        "that depends on the age, or a Gaussian process over age (needs gpytorch)",
        choices=tuple(ADAPTERS),
    )
    fixed_styles: int = option(
        0,
        count,
        "so many of the last styles stay SAM's: they draw what is finer than the pictures that losses see, "
        "and nothing teaches an adapter about it; officially 0",
    )
    n_bottleneck: int = option(32, width, "the official adapter's summary of one style")

    def check(self) -> None:
        """Raises ``InputError`` without a SAM, or for what personalisation cannot do."""
        if not self.checkpoint_path:
            raise InputError("--checkpoint_path is needed: the SAM checkpoint to personalise")
        if self.train_decoder:
            raise InputError(
                "--train_decoder does not go with personalisation here: the generator stays that of SAM"
            )
