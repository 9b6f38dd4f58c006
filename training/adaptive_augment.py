"""How strongly a GAN's pictures are augmented: by what its discriminator knows (Karras et al. 2020, 3)."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from models.stylegan2.augment import AugmentPipe
from utils.distributed import average

MODES = ("ada", "fixed", "noaug")


class AdaptiveAugment(nn.Module):
    """Augments pictures with a probability p that keeps a discriminator from learning its photos by heart.

    The sign of its outputs for photos, on average r, tells how sure it is of them: 0 when it guesses, 1 when
    it knows them all. Above the target p rises, below it falls.

    All that lasts are buffers: p, and what was observed since p was last moved. A step whose numbers are not
    finite therefore takes back its observation with the buffers of the other networks, and a resumed run
    repeats the interrupted one. Random numbers are torch's own, which a training keeps.

    Args:
        pipe: what augments; its p is set.
        mode: "ada"; "fixed" leaves p alone; "noaug" augments nothing. All observe.
        batch_size: photos of a step, in all processes together.
        target: of r.
        interval: steps between moves of p.
        kimg: thousands of photos in which p goes from 0 to 1 at most.
        p: at the start.

    Attributes:
        real_sign: r (), of the last interval.
    """

    real_sign: Tensor
    sign_sum: Tensor
    sign_count: Tensor

    def __init__(
        self,
        pipe: AugmentPipe,
        *,
        mode: str = "ada",
        batch_size: int,
        target: float = 0.6,
        interval: int = 4,
        kimg: float = 500.0,
        p: float = 0.0,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode}")
        self.pipe, self.mode, self.batch_size = pipe, mode, batch_size
        self.target, self.interval, self.kimg = target, interval, kimg
        self.pipe.p.fill_(0.0 if mode == "noaug" else p)
        for name in ("real_sign", "sign_sum", "sign_count"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Augments pictures (B, C, H, W), real or made, see :class:`AugmentPipe`."""
        return self.pipe(images, generator)

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Takes note of the discriminator's outputs (B, ...) for augmented photos, on the device."""
        self.sign_sum += real_logits.sign().sum()
        self.sign_count += real_logits.numel()

    @torch.no_grad()
    def step_done(self, step: int) -> None:
        """Moves p where that is due; to be called after every step, the number of which counts from 0.

        The processes exchange what they observed, so that p is the same in all of them, and a saved state,
        which is that of the first, holds what all observed.
        """
        seen: Sequence[Tensor] = (self.sign_sum, self.sign_count)
        average(seen)
        if (step + 1) % self.interval:
            return
        sign = torch.where(self.sign_count > 0, self.sign_sum / self.sign_count, self.target)
        self.real_sign.copy_(sign)
        if self.mode == "ada":
            most = self.batch_size * self.interval / (self.kimg * 1000)
            self.pipe.p.copy_(moved(self.pipe.p, sign, self.target, most))
        for value in seen:
            value.zero_()

    def figures(self) -> dict[str, Tensor]:
        """What to log: p, and r of the last interval."""
        return {"augment_p": self.pipe.p.clone(), "real_sign": self.real_sign.clone()}


def moved(p: Tensor, sign: Tensor, target: float, most: float) -> Tensor:
    """p () after a step of the size ``most`` that brings the sign closer to its target; never negative."""
    return (p + torch.sign(sign - target) * most).clamp(min=0)
