"""Options that every command with a network has: the device, its precision and operators."""

from dataclasses import dataclass

from utils.compilation import CHOICES
from utils.typed_options import Options, option


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """Where a network computes."""

    title = "machine"

    device: str = option("auto", str, "auto, cpu, cuda, cuda:N or mps")


@dataclass(frozen=True, kw_only=True)
class MachineOptions(DeviceOptions):
    """Where and how a network computes; see ``models.stylegan2.op.choose_ops``."""

    mixed_precision: str = option("no", str, "auto: bf16 where it is fast", choices=("auto", "bf16", "no"))
    ops: str = option(
        "auto",
        str,
        "StyleGAN2's operators: cuda compiles them, native is plain PyTorch, auto compiles where it can",
        choices=("auto", "cuda", "native"),
    )


@dataclass(frozen=True, kw_only=True)
class CompileOptions(Options):
    """Whether networks run compiled."""

    title = "machine"

    compile: str = option(
        "auto",
        str,
        "graphs: record the passes of the networks as CUDA graphs and replay them (takes memory); default "
        "and reduce-overhead: torch.compile, which takes minutes at the start; auto: graphs on a GPU",
        choices=CHOICES,
    )
