"""Per-photo optimisation: what an encoder missed of a face is found by gradient descent, for every age."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from criteria.perceptual_loss import PerceptualLoss
from datasets.input_age import InputAges
from inference.perceptual import perceptual_distance
from inference.wrapped_model import WrappedModel
from models.aging_model import Ages, AgingModel, StyleModel
from options.ageing_options import RefineOptions
from utils.errors import InputError
from utils.pictures.tensors import resize

LEARNING_RATE = 0.02
PERCEPTUAL_LAMBDA, L2_LAMBDA = 1.0, 2.0
RIDGE_LAMBDA = 0.01  # of the squared distance of the code from that of the encoder, a number


class RefinedModel(WrappedModel):
    """A model whose codes are fitted to each photo at its own age before they are aged.

    To the code of every age the same offset is added: the one with which the picture at the person's own age
    looks most like the photo, by squared error and perceptual distance (as in the projection of StyleGAN2,
    Karras et al. 2020, appendix D, but from the encoder's code on and in W+).

    Args:
        model: the model.
        steps: of Adam, for each batch of photos.
        own_ages: tells the ages (B,) in years of faces (B, 3, S, S).
        perceptual: the perceptual distance.
        learning_rate: of Adam; it falls to 0 along half a cosine.
        progress: whether a bar shows the steps.
    """

    def __init__(
        self,
        model: StyleModel,
        steps: int,
        own_ages: Callable[[Tensor], Tensor],
        perceptual: PerceptualLoss,
        learning_rate: float = LEARNING_RATE,
        progress: bool = True,
    ) -> None:
        super().__init__(model)
        self.perceptual = perceptual
        self.steps, self.learning_rate, self.progress = steps, learning_rate, progress
        self._own_ages = own_ages

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, self.offsets(images)

    def age_encoded(self, encoded: tuple[Tensor, Tensor], ages: Ages) -> Tensor:
        images, offsets = encoded
        return self.render(self.model.codes(images, ages) + offsets[:, None])

    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        return self.model.codes(images, ages) + self.offsets(images)[:, None]

    def photo_codes(self, images: Tensor) -> Tensor:
        return self.model.photo_codes(images) + self.offsets(images)

    def offsets(self, images: Tensor) -> Tensor:
        """What is added to the codes of faces (B, 3, S, S): (B, n_styles, style_dim)."""
        with torch.inference_mode(False), torch.enable_grad():
            # Tensors made in inference mode, as the photos of a command are, take no part in a graph.
            images = images.clone()
            years = self._own_ages(images)
            start = self.model.codes(images, years[:, None])[:, 0].clone()
            return self._fitted(start, resize(images.to(start), self.output_size))

    def _fitted(self, start: Tensor, wanted: Tensor) -> Tensor:
        """The offset (B, n_styles, D) from codes with which they look like pictures (B, 3, R, R)."""
        offset = torch.zeros_like(start).requires_grad_(True)
        optimizer = torch.optim.Adam([offset], self.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        with torch.no_grad():
            features = self.perceptual.features(wanted)
        bar = tqdm(range(self.steps), "fitting codes", leave=False, disable=not self.progress, unit="step")
        for _ in bar:
            pictures = self.model.synthesize(start + offset).float()
            # Sums over the photos: a photo is fitted alike whatever others are in its batch.
            squared = F.mse_loss(pictures, wanted) * len(start)
            distance = self.perceptual(pictures, target_features=features) * len(start)
            ridge = offset.square().mean((1, 2)).sum()
            loss = L2_LAMBDA * squared + PERCEPTUAL_LAMBDA * distance + RIDGE_LAMBDA * ridge
            (offset.grad,) = torch.autograd.grad(loss, offset)
            optimizer.step()
            schedule.step()
            bar.set_postfix(distance=f"{float(distance.detach()) / len(start):.3f}", refresh=False)
        return offset.detach()


def refined(model: AgingModel, opts: RefineOptions, ages: InputAges, device: torch.device) -> AgingModel:
    """The model as ``--refine_steps`` wants it; as it is where that is 0.

    Args:
        model: as loaded.
        opts: of the command.
        ages: tells how old the people in the photos are.
        device: where it computes.

    Raises:
        InputError: the model has no codes that could be fitted, or a file of the losses cannot be used.
    """
    if not opts.refine_steps:
        return model
    if not isinstance(model, StyleModel):
        raise InputError("--refine_steps is for models with W+ codes; this one has none")
    perceptual = perceptual_distance(opts.perceptual, ages.classifier, device, opts.lpips_weights)

    def own_ages(images: Tensor) -> Tensor:
        return torch.tensor([age.years for age in ages([Path()] * len(images), images)])

    return RefinedModel(model, opts.refine_steps, own_ages, perceptual)
