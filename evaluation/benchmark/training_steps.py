"""The steps of SAM, MyTimeMachine and pSp as their coaches make them, on networks with random weights."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from criteria.age_sampling import Mode
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.objective import Measures, Objective, Pass, weighted_terms
from evaluation.benchmark.networks import Setting, random_measures, random_psp
from evaluation.benchmark.timing import Parts
from models.psp import pSp
from options.mytimemachine_options import MyTimeMachineOptions
from options.psp_options import PSPOptions
from options.sam_options import SAMOptions
from training.encoder_start import Start
from training.guard import Guard, KeptBuffers, backward_pass
from training.measures import networks_of
from training.optimizers import build_optimizer, parameters_of
from training.steps_mytimemachine import mytimemachine_step
from training.steps_sam import sam_step
from training.trained_encoder import TrainedEncoder
from training.two_passes import plain_backward
from utils.compilation import begin_step, compile_networks
from utils.device import autocast

# The published command lines. The rate leaves random networks what they are, however many steps are made.
RATE = 1e-6
AGEING: dict[str, Any] = {
    "exp_dir": "benchmark",
    "learning_rate": RATE,
    "id_lambda": 0.1,
    "lpips_lambda": 0.1,
    "lpips_lambda_aging": 0.1,
    "lpips_lambda_crop": 0.6,
    "l2_lambda": 0.25,
    "l2_lambda_aging": 0.25,
    "l2_lambda_crop": 1.0,
    "w_norm_lambda": 0.005,
    "aging_lambda": 5.0,
    "cycle_lambda": 1.0,
    "use_weighted_id_loss": True,
}
SAM = SAMOptions(start_from_encoded_w_plus=True, **AGEING)
MYTIMEMACHINE = MyTimeMachineOptions(checkpoint_path="random", adaptive_w_norm_lambda=7.0, **AGEING)
PSP = PSPOptions(
    exp_dir="benchmark",
    learning_rate=RATE,
    start_from_latent_avg=True,
    id_lambda=0.1,
    lpips_lambda=0.8,
    l2_lambda=1.0,
)

AGE_RANGE = (20.0, 60.0)  # of the person's photos
PHOTOS = 50
TARGET_AGES: dict[Mode, float] = {
    "aging": 70.0,
    "no_aging": 40.0,
    "interpolation": 50.0,
    "extrapolation": 80.0,
}
INPUT_AGE = 40.0

# The part of a step that a term belongs to; those that are not named are "other losses".
PART_OF_TERM = {
    "loss_id": "identity",
    "nearest_neighbor_id_loss": "identity",
    "loss_lpips": "perceptual",
    "loss_lpips_crop": "perceptual",
    "loss_aging": "age",
}


@dataclass(frozen=True)
class Built:
    """What one variant of a piece of work runs.

    Attributes:
        steps: what is timed, by the end of its name.
        parts: the parts of all of them.
    """

    steps: dict[str, Callable[[], object]]
    parts: Parts = field(default_factory=lambda: Parts(torch.device("cpu")))


def ages(years: float, setting: Setting) -> Tensor:
    """One age for every picture of a batch, (B,)."""
    return torch.full((setting.batch,), years, device=setting.device)


def reference_bank(length: int, device: torch.device) -> ReferenceBank:
    """Embeddings of a person's photos, in both flips."""
    features = torch.randn(2 * PHOTOS, length, generator=torch.Generator().manual_seed(0)).to(device)
    years = torch.linspace(*AGE_RANGE, PHOTOS).round().tolist()
    return ReferenceBank(torch.nn.functional.normalize(features, dim=1), tuple(years + years))


def timed_objective(options: Any, measures: Measures, parts: Parts) -> Objective:
    """The objective of a coach's options, each of its terms a part of the step."""
    terms = [
        replace(term, compute=parts.within(PART_OF_TERM.get(term.name, "other losses"), term.compute))
        for term in weighted_terms(options.objective, options)
    ]
    return Objective(terms, measures)


def watch_network(net: pSp, parts: Parts) -> None:
    """Makes the networks of a pSp parts of the step."""
    parts.watch(net.encoder, "encode")
    parts.watch(net.pretrained_encoder, "prior")
    parts.watch(net.decoder, "decode")
    parts.watch(net.blender, "adapter")


class Guarded:
    """What every coach does around its step: it keeps buffers, and looks at the gradients before a step.

    Args:
        net: the network in training.
        optimizer: its optimiser.
    """

    def __init__(self, net: pSp, optimizer: torch.optim.Optimizer) -> None:
        self._buffers = KeptBuffers([net])
        Guard().watch(optimizer)

    def begin(self) -> None:
        """To be called before each step."""
        self._buffers.keep()
        begin_step()


def compile_all(net: pSp, measures: Measures, way: str) -> None:
    """Lets the networks of a step run as a coach's ``--compile`` says."""
    parts = [part for part in (net.encoder, net.pretrained_encoder, net.decoder) if part is not None]
    compile_networks([*parts, *networks_of(measures)], way)


def sam_training(setting: Setting, precision: torch.dtype) -> Built:
    """A step of ``training.coach_aging``: what a photo alone decides is known, as after the first epoch."""
    device, parts = setting.device, Parts(setting.device)
    start = Start(random_psp(setting.sizes, device), None)
    encoder = TrainedEncoder(start, SAM, precision, device)
    net = encoder.net
    guarded = Guarded(net, encoder.optimizer)
    measures = random_measures(setting.sizes, device, torch.channels_last)
    objective = timed_objective(SAM, measures, parts)
    watch_network(net, parts)
    images = setting.faces(net.input_size)
    assert measures.aging is not None and measures.identity is not None
    with torch.no_grad(), autocast(device, precision):
        codes = net.encode_photo(images).float()
        identity = measures.identity.features(images)
        input_ages = measures.aging.extract_ages(images)
    target_ages = ages(TARGET_AGES["aging"], setting)
    learning = parameters_of(encoder.optimizer)
    backward = parts.within("backward", partial(plain_backward, parameters=learning))

    compile_all(net, measures, setting.compile)

    def step() -> None:
        guarded.begin()
        net.train()
        with parts("perceptual"), autocast(device, precision):
            targets = objective.targets_of(images, leave_out=("identity", "ages"))
        encoder.optimizer.zero_grad(set_to_none=True)
        sam_step(
            net,
            objective,
            images,
            input_ages,
            target_ages,
            no_aging=False,
            cycle_lambda=SAM.cycle_lambda,
            targets=replace(targets, ages=input_ages, identity=identity),
            photo_codes=codes,
            precision=precision,
            backward=backward,
        )
        with parts("optimizer"):
            encoder.optimize(0)

    return Built({"": step}, parts)


def mytimemachine_training(setting: Setting, precision: torch.dtype) -> Built:
    """Steps of ``training.coach_personalized`` in each mode; what a photo alone decides is known."""
    device, parts = setting.device, Parts(setting.device)
    net = random_psp(setting.sizes, device, blender=setting.sizes.blender).eval().requires_grad_(False)
    adapter = net.blender
    assert adapter is not None and net.pretrained_encoder is not None
    adapter.requires_grad_(True)
    net.decoder.compute_dtype = precision
    for frozen in (net.encoder, net.pretrained_encoder):
        frozen.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(MYTIMEMACHINE.optim_name, adapter.parameters(), RATE)
    guarded = Guarded(net, optimizer)
    measures = random_measures(setting.sizes, device, torch.channels_last)
    measures.age_range = AGE_RANGE
    images = setting.faces(net.input_size)
    assert measures.identity is not None
    with torch.no_grad():
        measures.references = reference_bank(measures.identity.features(images).shape[1], device)
    objective = timed_objective(MYTIMEMACHINE, measures, parts)
    watch_network(net, parts)
    with torch.no_grad(), autocast(device, precision):
        codes, targets = net.encode_photo(images).float(), objective.targets_of(images)
    backward = parts.within("backward", partial(plain_backward, parameters=parameters_of(optimizer)))

    compile_all(net, measures, setting.compile)

    def step(mode: Mode) -> None:
        guarded.begin()
        optimizer.zero_grad(set_to_none=True)
        mytimemachine_step(
            net,
            objective,
            images,
            ages(INPUT_AGE, setting),
            ages(TARGET_AGES[mode], setting),
            mode=mode,
            cycle_lambda=MYTIMEMACHINE.cycle_lambda,
            targets=targets,
            photo_codes=codes,
            precision=precision,
            backward=backward,
        )
        with parts("optimizer"):
            optimizer.step()

    return Built(in_every_mode(step), parts)


def in_every_mode(step: Callable[[Mode], None]) -> dict[str, Callable[[], object]]:
    """A step of MyTimeMachine in each of its modes."""
    return {
        "no aging": lambda: step("no_aging"),
        "interpolation": lambda: step("interpolation"),
        "extrapolation": lambda: step("extrapolation"),
    }


def psp_training(setting: Setting, precision: torch.dtype) -> Built:
    """A step of ``training.coach_psp``; the identity of the photos is known."""
    device, parts = setting.device, Parts(setting.device)
    inverter = random_psp(
        setting.sizes, device, input_nc=3, start_from_latent_avg=True, start_from_encoded_w_plus=False
    )
    encoder = TrainedEncoder(Start(inverter, None), PSP, precision, device)
    net = encoder.net
    guarded = Guarded(net, encoder.optimizer)
    measures = random_measures(setting.sizes, device, torch.channels_last)
    objective = timed_objective(PSP, measures, parts)
    watch_network(net, parts)
    images = setting.faces(net.input_size)
    assert measures.identity is not None
    with torch.no_grad():
        identity = measures.identity.features(images)

    compile_all(net, measures, setting.compile)

    def step() -> None:
        guarded.begin()
        net.train()
        with autocast(device, precision):
            with parts("perceptual"):
                targets = objective.targets_of(images, leave_out=["identity"])
            targets = replace(targets, identity=identity)
            made = net.encode(images)
            pictures = net.decode(made, randomize_noise=True)
            losses = objective(
                Pass(net.face_pool(pictures), targets, made, net.average_code, pictures=pictures)
            )
        encoder.optimizer.zero_grad(set_to_none=True)
        with parts("backward"):
            backward_pass(losses.total)
        with parts("optimizer"):
            encoder.optimize(0)

    return Built({"": step}, parts)
