"""Whole training steps of both coaches: official numbers up to the updated weights, and small networks."""

import functools
from dataclasses import replace

import coach_parity
import pytest
import torch
from toy_losses import SAM_FLAGS, tiny_measures
from toy_networks import ADAPTER, SMALL_GENERATOR, tiny_psp

import parity
from criteria.mytimemachine_objective import MYTIMEMACHINE, MyTimeMachineWeights
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.objective import Objective, weighted_terms
from criteria.sam_objective import SAM, SAMWeights
from models.blender import BlenderConfig
from models.encoders.psp_encoders import EncoderConfig
from models.psp import append_age, pSp
from models.stylegan2.model import StyleGAN2Config
from training.optimizers import build_optimizer
from training.steps_mytimemachine import mytimemachine_step
from training.steps_sam import sam_step
from training.two_passes import StepResult

GRADIENT_NOISE = 0.1  # fixtures/parity/README.md


def with_known_errors(entries):
    """Gives a large entry, whose float32 error nobody measured, that of the same step at a smaller size.

    So the golden file says ("see how far float32 is off in the smaller entries"); at least 1e-5.
    """

    def step(entry):
        args = entry["args"]
        return entry.get("mode"), args["no_aging"], args["flags"]["cycle_lambda"]

    def last(entry):
        return f"styles.{StyleGAN2Config(size=parity.pixels(entry)).n_styles - 1}."

    known = {step(entry): entry for entry in entries if "f32_error" in entry}
    found = []
    for entry in entries:
        if "f32_error" not in entry and step(entry) in known:
            small = known[step(entry)]
            errors = small["f32_error"].items()
            renamed = {name.replace(last(small), last(entry)): max(value, 1e-5) for name, value in errors}
            found.append({**entry, "f32_error": renamed})
        else:
            found.append(entry)
    return found


def is_extra(entry):
    """None of the bundled steps is quick enough to run always: the parts of each have tests of their own."""
    return True


@functools.lru_cache(maxsize=1)  # 2.3 GB at 1024 pixels
def network_state(size, seed, blender):
    """The golden weights of a whole network; filled once for consecutive entries of a size."""
    return parity.fill_library.fill_arrays(
        {key: tuple(value.shape) for key, value in empty_network(size, blender).state_dict().items()}, seed
    )


def empty_network(size, blender):
    return parity.quick(
        pSp,
        StyleGAN2Config(size=size),
        EncoderConfig(),
        blender=BlenderConfig(zero_init=False) if blender else None,
    )


def official_network(entry, dtype, blender=False):
    seed, size = entry["weights"]["seed"], entry["args"].get("output_size", 1024)
    net = empty_network(size, blender)
    own = net.state_dict()
    for key, value in network_state(size, seed, blender).items():
        own[key].copy_(torch.from_numpy(value))
    net.set_latent_avg(coach_parity.latent_avg(entry, net.n_styles))
    net.requires_grad_(False)
    (net.blender if blender else net.encoder).requires_grad_(True)
    trains = "train mode" in entry.get("mode", "")
    net.frozen_prior = not trains
    return net.to(dtype).train(trains)


class Snapshots:
    """Runs each backward pass and checks the gradients that the golden entry has after it.

    In float32 single ones move by up to ``GRADIENT_NOISE``, where a leaky ReLU falls on its other side; so
    they are held to that, or to ten times their stated error where it is larger, and in float64 to 1e-6.
    """

    def __init__(self, module, entry, float64):
        self.module, self.entry, self.float64 = module, entry, float64
        self.names = iter(("real", "cycle"))

    def __call__(self, loss):
        loss.backward()
        prefix = f"grad_after_{next(self.names)}/"
        for name, parameter in self.module.named_parameters():
            if prefix + name in self.entry["outputs_f64" if self.float64 else "outputs"]:
                noise = max(GRADIENT_NOISE, parity.tolerance(self.entry, prefix + name))
                limit = None if self.float64 else noise
                parity.check(parameter.grad, self.entry, prefix + name, self.float64, limit)


def check_step(result: StepResult, entry, codes_name, float64):
    for name, one in (("real", result.real), ("cycle", result.cycle)):
        if one is None:  # a cycle of weight 0
            continue
        parity.check(one.images, entry, f"{name}/y_hat", float64)
        parity.check(one.codes, entry, f"{name}/{codes_name}", float64)
        total = coach_parity.returned(one.losses.total, entry, name)
        parity.check(total, entry, f"{name}/total", float64)
        stated = entry.get("f32_error", {})
        # A squared distance moves by twice what its picture moves by.
        noise = max(10 * stated.get(f"{name}/total", 0), 2 * stated.get(f"{name}/y_hat", 0))
        tolerance = max(1e-5, noise, 1e-4 * (name == "cycle"))
        coach_parity.check_log(one.losses.scalars, entry["outputs"][f"{name}/loss_dict"], tolerance)


def official_optimizer(entry, net):
    """As its entry says in words: ``Ranger, lr 1e-4, first step``."""
    name, rate, *_ = entry["args"]["optimiser"].split(", ")
    return build_optimizer(name.lower(), net.parameters(), float(rate.removeprefix("lr ")))


def check_updated_weights(module, entry, float64):
    state = module.state_dict()
    for output in entry["outputs"]:
        if output.startswith("after_step/"):
            parity.check(state[output.removeprefix("after_step/")], entry, output, float64)


def sam_official_step(entry, dtype):
    pytest.importorskip("lpips")
    args, float64 = entry["args"], dtype == torch.float64
    net = official_network(entry, dtype)
    measures = coach_parity.measures(entry["weights"]["seed"], dtype)
    objective = coach_parity.objective(entry, SAM[:1], SAMWeights, measures)
    images = parity.inputs(entry, dtype)["x"]
    targets = objective.targets_of(images)
    target_ages = targets.ages if args["no_aging"] else coach_parity.years(args["target_ages"], dtype)
    parity.check(targets.ages / 100, entry, "input_ages", float64)
    optimizer = official_optimizer(entry, net)
    result = sam_step(
        net,
        objective,
        images,
        targets.ages,
        target_ages,
        no_aging=args["no_aging"],
        cycle_lambda=args["flags"]["cycle_lambda"],
        targets=targets,
        randomize_noise=args["randomize_noise"],
        backward=Snapshots(net, entry, float64),
    )
    check_step(result, entry, "latent", float64)
    return net, optimizer


@pytest.mark.timeout(1800)
@parity.each("sam_coach_steps", extra=is_extra, change=with_known_errors)
def test_official_sam_step(entry):
    net, optimizer = sam_official_step(entry, torch.float32)
    optimizer.step()
    check_updated_weights(net, entry, float64=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@parity.each("sam_coach_steps", "outputs_f64")
def test_official_sam_gradients_in_float64(entry):
    sam_official_step(entry, torch.float64)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@parity.each("mtm_coach_steps")
def test_official_mytimemachine_step(entry, dtype):
    pytest.importorskip("lpips")
    args, float64 = entry["args"], dtype == torch.float64
    if float64 and "outputs_f64" not in entry:
        pytest.skip("the entry has no float64 numbers")
    net = official_network(entry, dtype, blender=True)
    if float64:
        network_state.cache_clear()  # the step itself takes 15 GB
    measures = coach_parity.measures(entry["weights"]["seed"], dtype)
    measures.references = coach_parity.reference_bank(entry, dtype)
    measures.age_range = tuple(args["training_age_range"])
    objective = coach_parity.objective(
        entry, MYTIMEMACHINE, MyTimeMachineWeights, measures, recipe="official"
    )
    optimizer = official_optimizer(entry, net)
    result = mytimemachine_step(
        net,
        objective,
        parity.inputs(entry, dtype)["x"],
        coach_parity.years(args["input_ages"], dtype),
        coach_parity.years(args["target_ages"], dtype),
        mode=args["mode"],
        cycle_lambda=args["flags"]["cycle_lambda"],
        backward=Snapshots(net.blender, entry, float64),
    )
    check_step(result, entry, "latent_final", float64)
    if not float64:
        optimizer.step()
        check_updated_weights(net.blender, entry, float64)


# ---------------------------------------------------------------- small networks


def tiny_sam():
    torch.manual_seed(4)
    return Objective(weighted_terms(SAM[:1], SAMWeights(**SAM_FLAGS)), tiny_measures())


def tiny_batch():
    torch.manual_seed(5)
    return torch.rand(2, 3, 32, 32) * 2 - 1, torch.tensor([33.0, 36.0]), torch.tensor([60.0, 12.0])


def tiny_mytimemachine(zero_init=True):
    net = tiny_psp(SMALL_GENERATOR, seed=3, blender=replace(ADAPTER, zero_init=zero_init))
    net.requires_grad_(False)
    net.blender.requires_grad_(True)
    torch.manual_seed(4)
    measures = tiny_measures(age_range=(30.0, 36.0))
    faces = measures.identity.features(torch.rand(3, 3, 32, 32))
    measures.references = ReferenceBank.build(faces, [30.0, 33.0, 36.0])
    rows = weighted_terms(MYTIMEMACHINE, MyTimeMachineWeights(**SAM_FLAGS))
    objective = Objective(rows, measures)
    return net, objective


@pytest.mark.parametrize("no_aging", [True, False])
def test_sam_step_fills_the_encoders_gradients_and_logs_both_passes(no_aging):
    net = tiny_psp(SMALL_GENERATOR, seed=3).train()
    net.decoder.requires_grad_(False)
    images, input_ages, target_ages = tiny_batch()
    objective = tiny_sam()
    result = sam_step(
        net,
        objective,
        images,
        input_ages,
        input_ages if no_aging else target_ages,
        no_aging=no_aging,
        cycle_lambda=1.0,
    )
    assert all(parameter.grad is not None for parameter in net.encoder.parameters())
    assert all(parameter.grad is None for parameter in net.decoder.parameters())
    assert all(parameter.grad is None for parameter in net.pretrained_encoder.parameters())
    assert {"loss", "loss_real", "loss_cycle", "loss_l2_crop_real", "loss_l2_crop_cycle"} <= set(
        result.scalars
    )
    torch.testing.assert_close(
        result.scalars["loss"], result.scalars["loss_real"] + result.scalars["loss_cycle"]
    )
    assert not any(value.requires_grad for value in result.scalars.values())
    assert result.real.images.shape == images.shape


def test_what_depends_on_the_photo_alone_may_be_given():
    net = tiny_psp(SMALL_GENERATOR, seed=3).eval()
    images, input_ages, target_ages = tiny_batch()
    objective = tiny_sam()
    settings = {"no_aging": False, "cycle_lambda": 1.0, "randomize_noise": False}
    plain = sam_step(net, objective, images, input_ages, target_ages, **settings)
    known = {"targets": objective.targets_of(images), "photo_codes": net.encode_photo(images)}
    given = sam_step(net, objective, images, input_ages, target_ages, **settings, **known)
    for name, value in plain.scalars.items():
        torch.testing.assert_close(given.scalars[name], value)


def test_cycle_weight_zero_leaves_the_cycle_out():
    net = tiny_psp(SMALL_GENERATOR, seed=3).eval()
    images, input_ages, target_ages = tiny_batch()
    objective = tiny_sam()
    result = sam_step(net, objective, images, input_ages, target_ages, no_aging=False, cycle_lambda=0.0)
    assert result.cycle is None and "loss_cycle" not in result.scalars


@pytest.mark.parametrize("mode", ["no_aging", "interpolation", "extrapolation"])
def test_mytimemachine_step_trains_the_adapter_only(mode):
    net, objective = tiny_mytimemachine()
    images, input_ages, target_ages = tiny_batch()
    result = mytimemachine_step(net, objective, images, input_ages, target_ages, mode=mode, cycle_lambda=1.0)
    assert any(parameter.grad.abs().sum() > 0 for parameter in net.blender.parameters())
    others = [p for name, p in net.named_parameters() if not name.startswith("blender.")]
    assert all(parameter.grad is None for parameter in others)
    assert ("nearest_neighbor_id_loss_real" in result.scalars) == (mode == "interpolation")
    # an adapter that starts at zero starts from the global network's codes
    torch.testing.assert_close(result.real.codes, net.encode(append_age(images, target_ages)))


def test_the_global_picture_is_rendered_in_extrapolation_only(monkeypatch):
    net, objective = tiny_mytimemachine()
    images, input_ages, target_ages = tiny_batch()
    rendered = []
    decode = net.decode
    monkeypatch.setattr(net, "decode", lambda *args, **kwargs: rendered.append(1) or decode(*args, **kwargs))
    counts = {}
    for mode in ("no_aging", "interpolation", "extrapolation"):
        rendered.clear()
        mytimemachine_step(net, objective, images, input_ages, target_ages, mode=mode, cycle_lambda=1.0)
        counts[mode] = len(rendered)
    assert counts == {"no_aging": 2, "interpolation": 2, "extrapolation": 4}


@pytest.mark.parametrize("mode", ["interpolation", "extrapolation"])
def test_the_loss_falls_in_30_steps(mode):
    net, objective = tiny_mytimemachine(zero_init=False)
    images, input_ages, target_ages = tiny_batch()
    optimizer = build_optimizer("ranger", net.parameters(), 1e-2)
    totals = []
    for _ in range(30):
        optimizer.zero_grad()
        result = mytimemachine_step(
            net, objective, images, input_ages, target_ages, mode=mode, cycle_lambda=1.0
        )
        optimizer.step()
        totals.append(float(result.scalars["loss"]))
    assert totals[-1] < totals[0]


def test_steps_run_in_bfloat16():
    net, objective = tiny_mytimemachine()
    images, input_ages, target_ages = tiny_batch()
    result = mytimemachine_step(
        net,
        objective,
        images,
        input_ages,
        target_ages,
        mode="extrapolation",
        cycle_lambda=1.0,
        precision=torch.bfloat16,
    )
    assert result.real.losses.total.dtype == torch.float32
    assert result.scalars["loss"].isfinite()
