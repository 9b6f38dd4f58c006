"""The same work as the official programs do it (SAM, MyTimeMachine, pSp), on the layers of this project.

Every forward pass that they make is made, with gradients where they have them: on generator, age classifier
and face network too. Convolutions are grouped, activations lie in NCHW, every map-to-style head runs alone,
Ranger takes one parameter at a time, and what the losses need of a photo is computed again in each pass.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from criteria.adaptive_w_norm import adaptive_w_norm
from criteria.age_sampling import Mode, cosine_weight, distance_to_range
from criteria.nearest_neighbor_id_loss import nearest_neighbor_id_loss
from criteria.objective import Measures
from criteria.w_norm import w_norm
from criteria.weights import ReconstructionWeights
from evaluation.benchmark.networks import Setting, random_measures, random_psp
from evaluation.benchmark.timing import Parts
from evaluation.benchmark.training_steps import (
    AGE_RANGE,
    INPUT_AGE,
    MYTIMEMACHINE,
    PSP,
    RATE,
    SAM,
    TARGET_AGES,
    Built,
    ages,
    in_every_mode,
    reference_bank,
)
from models.auxiliary import IdentityNetwork
from models.encoders.helpers import ResidualUnit, SEModule, Subsample, l2_norm
from models.encoders.model_irse import Backbone
from models.encoders.psp_encoders import COARSE_STYLES, MIDDLE_STYLES, GradualStyleEncoder
from models.psp import append_age, pSp
from training.optimizers import RANGER
from utils.ages import scale_age

# ---------------------------------------------------------------- networks, layer by layer


def run_layers(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """The layers of IR-SE networks one after another, each as the operation that its name says."""
    for layer in layers:
        if isinstance(layer, nn.PReLU):
            x = F.prelu(x, layer.weight)
        elif isinstance(layer, Subsample):
            x = F.max_pool2d(x, 1, layer.stride)
        elif isinstance(layer, SEModule):
            squeezed = F.relu(layer.fc1(F.adaptive_avg_pool2d(x, 1)))
            x = x * torch.sigmoid(layer.fc2(squeezed))
        elif isinstance(layer, ResidualUnit):
            shortcut = layer.shortcut_layer
            short = run_layers(list(shortcut) if isinstance(shortcut, nn.Sequential) else [shortcut], x)
            x = run_layers(list(layer.res_layer), x) + short
        else:
            x = layer(x)
    return x


def encode(encoder: GradualStyleEncoder, x: Tensor) -> Tensor:
    """Codes (B, n_styles, style_dim), a head at a time."""
    x = run_layers(list(encoder.input_layer), x)
    taps = []
    for index, unit in enumerate(encoder.body):
        x = run_layers([unit], x)
        if index in encoder.taps:
            taps.append(x)
    middle = _enlarge_and_add(x, encoder.latlayer1(taps[1]))
    fine = _enlarge_and_add(middle, encoder.latlayer2(taps[0]))
    levels = [x] * COARSE_STYLES + [middle] * MIDDLE_STYLES
    codes = []
    for index, head in enumerate(encoder.styles):
        features = levels[index] if index < len(levels) else fine
        codes.append(head.linear(head.convs(features).flatten(1)))
    return torch.stack(codes, dim=1)


def _enlarge_and_add(small: Tensor, large: Tensor) -> Tensor:
    return F.interpolate(small, size=large.shape[-2:], mode="bilinear", align_corners=True) + large


def face_features(identity: IdentityNetwork, images: Tensor) -> Tensor:
    """Unit embeddings (B, D) of faces (B, 3, S, S)."""
    network, x = identity.network, identity.prepare(images)
    if isinstance(network, Backbone):
        return l2_norm(run_layers([*network.input_layer, *network.body, *network.output_layer], x))
    return l2_norm(network(x))


def published_psp(setting: Setting, **arguments: Any) -> pSp:
    """A network as the official programs leave it: everything takes gradients, norms follow ``train()``."""
    net = random_psp(setting.sizes, setting.device, **arguments).requires_grad_(True)
    net.frozen_prior = False
    net.decoder.use_grouped_convolution(True)
    net.decoder.memory_format = torch.contiguous_format
    return net


class PublishedPSP:
    """The forward pass of the official pSp.

    Args:
        net: the network.
        parts: of the step.
        prior_learns: whether gradients are kept for the prior, as in MyTimeMachine.
    """

    def __init__(self, net: pSp, parts: Parts, prior_learns: bool = False) -> None:
        self.net, self.parts, self.prior_learns = net, parts, prior_learns

    def codes(self, x: Tensor) -> Tensor:
        """W+ codes (B, n_styles, style_dim) of photos (B, input_nc, S, S)."""
        net = self.net
        with self.parts("encode"):
            codes = encode(net.encoder, x)
        if net.pretrained_encoder is None:
            return codes + net.latent_avg
        with self.parts("prior"), torch.set_grad_enabled(self.prior_learns and torch.is_grad_enabled()):
            prior = encode(net.pretrained_encoder, x[:, :3]) + net.latent_avg
        return codes + prior

    def render(self, codes: Tensor, randomize_noise: bool, reduced: bool = True) -> Tensor:
        """Pictures of codes, averaged to the encoder's input size or not."""
        with self.parts("decode"):
            return self.net.decode(codes, randomize_noise, resize=reduced)

    def __call__(
        self, x: Tensor, randomize_noise: bool = True, reduced: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Pictures and codes."""
        codes = self.codes(x)
        return self.render(codes, randomize_noise, reduced), codes


# ---------------------------------------------------------------- losses


class PublishedLosses:
    """The losses of the official coaches: of input, target and result everything is computed in each call.

    Args:
        measures: the networks that look; those that the official programs do not freeze take gradients.
        weights: of the terms that compare pictures.
        parts: of the step.
    """

    def __init__(self, measures: Measures, weights: ReconstructionWeights, parts: Parts) -> None:
        assert measures.identity is not None and measures.aging is not None
        assert measures.perceptual is not None
        self.face, self.classifier = measures.identity.network, measures.aging
        self.perceptual, self.crop = measures.perceptual, measures.crop
        self.weights, self.parts = weights, parts
        self.face.requires_grad_(True)
        self.classifier.network.requires_grad_(True)

    def identity(self, generated: Tensor, images: Tensor, weights: Tensor | None = None) -> Tensor:
        """Identity of the result with the target, picture by picture; the input is looked at, too."""
        with self.parts("identity"):
            made, source, target = (face_features(self.face, faces) for faces in (generated, images, images))
            target = target.detach()
            total = generated.new_zeros(())
            for index in range(len(made)):
                to_target = made[index].dot(target[index])
                logged = (to_target, made[index].dot(source[index]), target[index].dot(source[index]))
                for value in logged:
                    float(value.detach())  # waits for the device
                total = total + (1 - to_target) * (1 if weights is None else weights[index])
            return total / len(made)

    def likeness(self, generated: Tensor, wanted: Tensor) -> Tensor:
        """Squared and perceptual distance, of the whole pictures and of the inner faces."""
        weights = self.weights
        pairs = [(generated, wanted, weights.l2_lambda, weights.lpips_lambda)]
        inner = (weights.l2_lambda_crop, weights.lpips_lambda_crop)
        if any(inner):
            pairs.append((self.crop(generated), self.crop(wanted), *inner))
        total = generated.new_zeros(())
        for first, second, squared, perceptual in pairs:
            with self.parts("perceptual"):
                total = total + perceptual * self.perceptual(first, second)
            total = total + squared * F.mse_loss(first, second)
        return total

    def age(self, generated: Tensor, images: Tensor, target_ages: Tensor) -> Tensor:
        """Squared error of the age; that of the photos is looked at, too."""
        with self.parts("age"):
            seen, made = self.classifier.extract_ages(images), self.classifier.extract_ages(generated)
            for values in (seen, made, target_ages):
                values.tolist()  # logged: waits for the device
            return F.mse_loss(scale_age(made), scale_age(target_ages))


def published_ranger(parameters: Any) -> torch.optim.Optimizer:
    """Ranger, one parameter at a time."""
    from pytorch_optimizer import Ranger

    settings: dict[str, Any] = dict(RANGER)
    return Ranger(parameters, lr=RATE, foreach=False, **settings)


def _measures(setting: Setting) -> Measures:
    return random_measures(setting.sizes, setting.device, torch.contiguous_format)


# ---------------------------------------------------------------- steps


def published_sam(setting: Setting) -> Built:
    """A step of SAM's ``coach_aging.py``."""
    parts = Parts(setting.device)
    net = published_psp(setting)
    model = PublishedPSP(net, parts)
    losses = PublishedLosses(_measures(setting), SAM, parts)
    optimizer = published_ranger(net.encoder.parameters())
    images = setting.faces(net.input_size)
    target_ages = ages(TARGET_AGES["aging"], setting)

    def one_pass(inputs: Tensor, to_ages: Tensor, input_ages: Tensor) -> Tensor:
        generated, codes = model(append_age(inputs, to_ages))
        weights = cosine_weight(to_ages - input_ages).detach()
        loss = SAM.id_lambda * losses.identity(generated, images, weights)
        loss = loss + losses.likeness(generated, images)
        loss = loss + SAM.w_norm_lambda * w_norm(codes, net.latent_avg).mean()
        loss = loss + SAM.aging_lambda * losses.age(generated, images, to_ages)
        with parts("backward"):
            loss.backward()
        return generated.detach().clone().requires_grad_(True)

    def step() -> None:
        net.train()
        optimizer.zero_grad()
        with parts("age"):
            input_ages = losses.classifier.extract_ages(images)
        generated = one_pass(images, target_ages, input_ages)
        one_pass(generated, input_ages.detach().clone().requires_grad_(True), input_ages)
        with parts("optimizer"):
            optimizer.step()

    return Built({"": step}, parts)


class PublishedMyTimeMachine:
    """A step of MyTimeMachine's ``coach_aging_delta.py``: two copies of SAM, each of them run whole."""

    def __init__(self, setting: Setting) -> None:
        self.parts = Parts(setting.device)
        net = published_psp(setting, blender=setting.sizes.blender).train()
        assert net.blender is not None
        self.blender = net.blender
        self.personal = PublishedPSP(net, self.parts, prior_learns=True)
        self.everybody = PublishedPSP(deepcopy(net), self.parts, prior_learns=True)
        self.losses = PublishedLosses(_measures(setting), MYTIMEMACHINE, self.parts)
        self.optimizer = published_ranger(self.blender.parameters())
        self.images = setting.faces(net.input_size)
        self.setting = setting
        with torch.no_grad():
            length = face_features(self.losses.face, self.images).shape[1]
        self.references = reference_bank(length, setting.device)

    def __call__(self, mode: Mode) -> None:
        """Both passes of a mode and the update."""
        self.optimizer.zero_grad()
        input_ages = ages(INPUT_AGE, self.setting)
        generated = self._pass(mode, self.images, ages(TARGET_AGES[mode], self.setting), input_ages)
        self._pass(mode, generated, input_ages, input_ages)
        with self.parts("optimizer"):
            self.optimizer.step()

    def _pass(self, mode: Mode, inputs: Tensor, to_ages: Tensor, input_ages: Tensor) -> Tensor:
        x = append_age(inputs, to_ages)
        _, codes = self.everybody(x)
        self.personal(x)  # its codes and picture serve nothing
        with self.parts("adapter"):
            codes_of_person = self.blender(codes, scale_age(to_ages))
        generated = self.personal.render(codes_of_person, randomize_noise=False)
        with torch.no_grad():
            compared = self.everybody.render(codes, randomize_noise=False)
        loss = self._usual(generated, codes_of_person, to_ages, input_ages)
        if mode == "interpolation":
            with self.parts("identity"):
                loss = loss + self._nearest(generated, to_ages)
        elif mode == "extrapolation":  # in place of the usual one
            loss = self._beyond(generated, compared, codes_of_person, to_ages, input_ages)
        with self.parts("backward"):
            loss.backward()
        return generated.detach().clone().requires_grad_(True)

    def _usual(self, generated: Tensor, codes: Tensor, to_ages: Tensor, input_ages: Tensor) -> Tensor:
        weights, losses = MYTIMEMACHINE, self.losses
        pairs = cosine_weight(to_ages - input_ages)
        loss = weights.id_lambda * losses.identity(generated, self.images, pairs)
        loss = loss + losses.likeness(generated, self.images)
        loss = loss + weights.w_norm_lambda * w_norm(codes, self.personal.net.latent_avg).mean()
        return loss + weights.aging_lambda * losses.age(generated, self.images, to_ages)

    def _nearest(self, generated: Tensor, to_ages: Tensor) -> Tensor:
        """To the person's photos of about that age."""
        bank, features = self.references, face_features(self.losses.face, generated)
        return nearest_neighbor_id_loss(features, bank.features, bank.mask(to_ages, official=True))

    def _beyond(
        self, generated: Tensor, compared: Tensor, codes: Tensor, to_ages: Tensor, input_ages: Tensor
    ) -> Tensor:
        """The losses of extrapolation, against the picture of the global network."""
        weights, losses = MYTIMEMACHINE, self.losses
        pairs = cosine_weight(distance_to_range(to_ages, AGE_RANGE))
        loss = weights.id_lambda * losses.identity(generated, self.images, pairs)
        loss = loss + losses.likeness(generated, compared)
        scale, average = weights.adaptive_w_norm_lambda, self.personal.net.latent_avg
        adaptive = adaptive_w_norm(codes, average, to_ages, input_ages, scale, sum_over_batch=True)
        loss = loss + weights.w_norm_lambda * adaptive
        return loss + 2 * weights.aging_lambda * losses.age(generated, compared, to_ages)


def published_mytimemachine(setting: Setting) -> Built:
    """Steps of MyTimeMachine in each mode."""
    step = PublishedMyTimeMachine(setting)
    return Built(in_every_mode(step), step.parts)


def published_psp_training(setting: Setting) -> Built:
    """A step of pSp's ``coach.py``."""
    parts = Parts(setting.device)
    net = published_psp(setting, input_nc=3, start_from_latent_avg=True, start_from_encoded_w_plus=False)
    model = PublishedPSP(net, parts)
    losses = PublishedLosses(_measures(setting), PSP, parts)
    optimizer = published_ranger(net.encoder.parameters())
    images = setting.faces(net.input_size)

    def step() -> None:
        net.train()
        optimizer.zero_grad()
        generated, _ = model(images)
        loss = PSP.id_lambda * losses.identity(generated, images) + losses.likeness(generated, images)
        with parts("backward"):
            loss.backward()
        with parts("optimizer"):
            optimizer.step()

    return Built({"": step}, parts)


# ---------------------------------------------------------------- inference


class PublishedInference:
    """Ages photos as the official ``inference.py``: everything is computed anew at each age."""

    def __init__(self, setting: Setting) -> None:
        self.parts = Parts(setting.device)
        self.model = PublishedPSP(published_psp(setting).eval().requires_grad_(False), self.parts)

    @torch.no_grad()
    def __call__(self, images: Tensor, years: Sequence[float]) -> list[Tensor]:
        """Full-size pictures (B, 3, R, R) of photos (B, 3, S, S), one batch an age."""
        return [self.model(append_age(images, age), randomize_noise=False, reduced=False)[0] for age in years]
