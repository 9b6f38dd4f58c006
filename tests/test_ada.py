"""Adaptive augmentation: the official numbers, its frequencies, two derivatives, and the controller of p."""

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import parity
from models.stylegan2.augment import PIPES, Augmentations, AugmentPipe, augmentations_named
from models.stylegan2.augment.choices import GROUPS
from models.stylegan2.augment.resampling import (
    SYM6,
    doubling_matrix,
    filter_bank,
    filter_matrices,
    halving_matrix,
    resampling_filter,
)
from models.stylegan2.augment.sampling import sample, sample_plainly
from models.stylegan2.op import upfirdn2d
from training.adaptive_augment import AdaptiveAugment, moved
from training.rehearsal import Rehearsal
from training.state import TrainingState
from utils.errors import InputError

OPERATIONS = [operation for group in GROUPS.values() for operation in group]
EVERYTHING = augmentations_named("bgcfnc")


def pictures(count: int = 2, height: int = 16, width: int = 16, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, height, width) * 2 - 1


def pipe(chosen: Augmentations = EVERYTHING, p: float = 1.0) -> AugmentPipe:
    made = AugmentPipe(chosen)
    made.p.fill_(p)
    return made


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- official numbers


@parity.each("stylegan2_ada", "debug_percentile")
def test_augmentations_give_the_official_numbers(entry: parity.Entry) -> None:
    args, inputs = dict(entry["args"]), parity.inputs(entry)
    percentile = args.pop("debug_percentile")
    made = AugmentPipe(Augmentations(**args))
    given = {"noise": inputs.get("noise"), "debug_percentile": percentile}
    parity.check(made(inputs["image"], **given), entry, "image")


def test_state_has_the_official_keys() -> None:
    state = AugmentPipe(EVERYTHING).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "p": (),
        "Hz_geom": (12,),
        "Hz_fbank": (4, 43),
    }


@pytest.mark.parametrize(("name", "last"), [("bg", "xfrac"), ("bgcfnc", "cutout"), ("filter", "imgfilter")])
def test_names_stand_for_their_operations(name: str, last: str) -> None:
    chosen = augmentations_named(name)
    switched_on = [operation for operation in OPERATIONS if getattr(chosen, operation)]
    assert switched_on[-1] == last
    assert switched_on == [operation for group in PIPES[name] for operation in GROUPS[group]]


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    with pytest.raises(InputError, match="'bcg' names no augmentations; choose one of blit, .*bgcfnc"):
        augmentations_named("bcg")


# ---------------------------------------------------------------- filters


def test_filters_are_orthogonal_and_bands_add_up() -> None:
    for shift in range(0, 12, 2):
        product = sum(SYM6[i] * SYM6[i + shift] for i in range(12 - shift))
        assert product == pytest.approx(float(shift == 0), abs=1e-9)
    whole = filter_bank().sum(0)
    assert torch.allclose(whole, F.one_hot(torch.tensor(21), 43).float(), atol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (5, 2), (8, 8)])
def test_doubling_is_mirroring_and_filtering(before: int, after: int) -> None:
    x, low_pass = pictures(1, 9, 9), resampling_filter()
    mirrored = F.pad(x, (before, after, before, after), mode="reflect")
    expected = upfirdn2d(mirrored, low_pass[:, None] * low_pass * 4, up=2, pad=(6, 5))
    matrix = doubling_matrix(low_pass, 9, before, after)
    torch.testing.assert_close(matrix @ x @ matrix.mT, expected, rtol=1e-5, atol=1e-5)


def test_halving_undoes_doubling() -> None:
    """Orthogonal filters reconstruct; the outermost samples of a signal lack some of their neighbours."""
    low_pass = resampling_filter()
    whole = halving_matrix(low_pass, 10, 6) @ doubling_matrix(low_pass, 10, 6, 6)
    torch.testing.assert_close(whole, torch.eye(10), rtol=0, atol=1e-5)


def test_filter_matrices_mirror_as_often_as_needed() -> None:
    x, filters = torch.rand(1, 8), torch.rand(2, 43)
    filters = filters + filters.flip(1)
    again = torch.cat([x, x[:, 1:-1].flip(1)], 1).repeat(1, 9)[:, 63 - 21 - 7 : 63 - 7 + 8 + 21]
    expected = F.conv1d(again[:, None], filters[:, None])[0]
    torch.testing.assert_close((filter_matrices(filters, 8) @ x[0]), expected)


# ---------------------------------------------------------------- what changes, and how often

SHARES = {"xflip": 0.5, "rotate90": 0.75, "lumaflip": 0.5}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_changes_its_share_of_the_pictures(operation: str) -> None:
    x = pictures(1, 12, 12).expand(600, -1, -1, -1)
    chosen = Augmentations(**{operation: 1}, xint_max=0.5)
    for p in (0.3, 1.0):
        changed = (pipe(chosen, p)(x) - x).abs().amax((1, 2, 3)) > 1e-4
        expected = p * SHARES.get(operation, 1.0)
        if operation == "imgfilter":  # one at least of four bands
            expected = 1 - (1 - p) ** 4
        deviation = math.sqrt(expected * (1 - expected) / len(x))
        assert changed.float().mean().item() == pytest.approx(expected, abs=4 * deviation + 0.01)


def test_multipliers_scale_the_probability() -> None:
    x = pictures(1, 4, 4).expand(2000, -1, -1, -1)
    changed = (pipe(Augmentations(brightness=0.5), 0.4)(x) != x).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.2, abs=0.04)


def test_pictures_turn_the_way_they_are_told() -> None:
    x = F.interpolate(pictures(1, 4, 4), size=(16, 16), mode="bicubic")

    def check(result: Tensor, expected: Tensor) -> None:
        # The filter is not quite symmetric: a mirrored picture lies a fraction of a pixel beside.
        torch.testing.assert_close(result, expected, rtol=0, atol=0.1)

    check(pipe(Augmentations(rotate90=1))(x, debug_percentile=0.25), x.rot90(1, (2, 3)))
    check(pipe(Augmentations(xflip=1))(x, debug_percentile=0.5), x.flip(3))
    shifted = pipe(Augmentations(xint=1, xint_max=0.5))(x, debug_percentile=0.75)  # by 4 of 16 pixels
    check(shifted[:, :, 4:, 4:], x[:, :, :-4, :-4])


def test_without_probability_pictures_pass_untouched_and_nothing_is_drawn() -> None:
    made, x, before = pipe(p=0), pictures(), torch.get_rng_state()
    assert made(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_a_changed_probability_holds_at_once() -> None:
    made, x = pipe(p=0), pictures()
    made(x)
    made.p.fill_(1)
    assert not torch.equal(made(x), x)
    made.load_state_dict({**made.state_dict(), "p": torch.tensor(0.0)})
    assert made(x) is x


def test_one_seed_gives_one_result() -> None:
    made, x = pipe(p=0.5), pictures(8)
    assert torch.equal(made(x, seeded(3)), made(x, seeded(3)))
    assert not torch.equal(made(x, seeded(3)), made(x, seeded(4)))


@pytest.mark.parametrize(("height", "width", "channels"), [(16, 16, 3), (9, 20, 3), (16, 24, 1)])
@pytest.mark.parametrize("percentile", [0.2, 0.9])
def test_a_batch_is_its_pictures(height: int, width: int, channels: int, percentile: float) -> None:
    x, made = pictures(3, height, width, channels), pipe()
    given = {"debug_percentile": percentile}
    noise = torch.randn_like(x)
    together = made(x, noise=noise, **given)
    alone = [made(one, noise=plane, **given) for one, plane in zip(x.split(1), noise.split(1), strict=True)]
    assert together.shape == x.shape
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_grey_pictures_are_pictures_without_colour() -> None:
    """Whatever happens to luma and chroma, grey stays grey."""
    x, made = pictures(4, channels=1), pipe(augmentations_named("bgcf"))
    grey, colour = made(x, seeded()), made(x.expand(-1, 3, -1, -1), seeded())
    torch.testing.assert_close(colour, grey.expand(-1, 3, -1, -1), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="three channels or one, not 2"):
        made(pictures(channels=2))


def test_layout_and_dtype_stay() -> None:
    x, made = pictures().contiguous(memory_format=torch.channels_last), pipe()
    result = made(x, seeded())
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, made(x.contiguous(), seeded()), rtol=1e-5, atol=1e-5)
    half = x.bfloat16()
    assert torch.equal(made(half, seeded()), made(half.float(), seeded()).bfloat16())


# ---------------------------------------------------------------- derivatives


def test_sampling_has_two_derivatives() -> None:
    x = torch.rand(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 4, 3, 2, dtype=torch.float64) * 2.6 - 1.3  # some of it outside
    assert torch.autograd.gradcheck(lambda x: sample(x, grid), x)
    assert torch.autograd.gradgradcheck(lambda x: sample(x, grid), x)
    torch.testing.assert_close(sample_plainly(x, grid), F.grid_sample(x, grid, align_corners=False))


def test_the_whole_pipe_has_two_derivatives() -> None:
    x, made = pictures(2, 8, 8).double().requires_grad_(), pipe()
    noise = torch.randn(x.shape, dtype=x.dtype)

    def squared(x: Tensor) -> Tensor:
        return made(x, seeded(5), noise=noise).square().sum((2, 3))

    assert torch.autograd.gradcheck(squared, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, x, fast_mode=True)


def test_r1_through_the_pipe_is_the_slope_of_the_penalty() -> None:
    """The penalty's gradient in a discriminator's weights against differences, in float64."""
    judge = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(196, 1)).double()
    made, x = pipe(augmentations_named("bgc"), 0.8), pictures(4).double().requires_grad_()

    def penalty() -> Tensor:
        (slope,) = torch.autograd.grad(judge(made(x, seeded(2))).sum(), x, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()

    weights = list(judge.parameters())
    slopes = torch.autograd.grad(penalty(), weights, allow_unused=True)
    directions = [torch.randn_like(weight) for weight in weights]
    expected = sum((s * d).sum() for s, d in zip(slopes, directions, strict=True) if s is not None)
    values, width = [], 1e-6
    for sign in (1, -2):
        with torch.no_grad():
            torch._foreach_add_(weights, directions, alpha=sign * width)
        values.append(penalty().item())
    assert (values[0] - values[1]) / (2 * width) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_computes_the_same_without_being_waited_for() -> None:
    chosen = replace(EVERYTHING, noise=0)  # which is drawn on the device
    x, made = pictures(4, 32, 32), pipe(chosen)
    expected = made(x, seeded())
    made, x = made.cuda(), x.cuda().requires_grad_()
    made(x, seeded())  # reads p
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = made(x, seeded())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-4, atol=1e-4)
    (slope,) = torch.autograd.grad(result.square().sum(), x, create_graph=True)
    assert torch.autograd.grad(slope.square().sum(), x)[0].isfinite().all()


# ---------------------------------------------------------------- the controller


def controller(**settings: Any) -> AdaptiveAugment:
    return AdaptiveAugment(AugmentPipe(EVERYTHING), **{"batch_size": 8, "kimg": 1, **settings})


def after(made: AdaptiveAugment, steps: int, sure: bool, first: int = 0) -> float:
    """p after steps with a discriminator that is right about all photos, or wrong."""
    for step in range(first, first + steps):
        made.observe(torch.full((8, 1), 3.0 if sure else -3.0))
        made.step_done(step)
    return made.figures()["augment_p"].item()


@parity.each("stylegan2_ada", "cases")
def test_p_moves_officially(entry: parity.Entry) -> None:
    for case in entry["outputs"]["cases"]:
        most = case["batch_size"] * case["ada_interval"] / (case["ada_kimg"] * 1000)
        p = moved(torch.tensor(case["p"]), torch.tensor(case["r_t"]), case["target"], most)
        assert p.item() == pytest.approx(case["new_p"], rel=1e-5)


def test_p_rises_with_certainty_and_falls_to_zero() -> None:
    made = controller(interval=4)
    assert after(made, 3, sure=True) == 0  # not yet
    assert after(made, 1, sure=True, first=3) == pytest.approx(0.032)
    assert made.figures()["real_sign"] == 1
    assert after(made, 4, sure=True, first=4) == pytest.approx(0.064)
    assert after(made, 12, sure=False, first=8) == 0
    assert made.figures()["real_sign"] == -1


def test_r_is_the_mean_of_all_signs_since_p_moved() -> None:
    made = controller(interval=2, target=0.3, p=0.5)
    made.observe(torch.tensor([[1.0], [9.0], [-0.1]]))
    made.step_done(0)
    made.observe(torch.tensor([[2.0], [-2.0]]))
    made.step_done(1)
    assert made.figures()["real_sign"].item() == pytest.approx(0.2)
    assert made.pipe.p.item() == pytest.approx(0.5 - 0.016)
    made.step_done(3)  # nothing was observed
    assert made.pipe.p.item() == pytest.approx(0.5 - 0.016)


def test_processes_share_what_they_observe(monkeypatch: pytest.MonkeyPatch) -> None:
    def average_with_another(values: Iterable[Tensor]) -> None:
        for value, theirs in zip(values, (6.0, 6.0), strict=True):  # all of its six photos were recognised
            value.copy_((value + theirs) / 2)

    monkeypatch.setattr("training.adaptive_augment.average", average_with_another)
    made = controller(interval=1)
    made.observe(torch.tensor([-1.0, -1.0]))
    made.step_done(0)
    assert made.figures()["real_sign"].item() == pytest.approx(0.5)


@pytest.mark.parametrize(("mode", "p"), [("fixed", 0.25), ("noaug", 0.0)])
def test_other_modes_observe_only(mode: str, p: float) -> None:
    made, x = controller(mode=mode, p=0.25), pictures()
    assert after(made, 4, sure=True) == p
    assert made.figures()["real_sign"] == 1
    assert torch.equal(made(x), x) is (mode == "noaug")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="ada, fixed, noaug"):
        controller(mode="never")


def test_a_resumed_run_repeats() -> None:
    """Stopped within an interval, the observations so far count, and the same numbers are drawn."""
    x, results = pictures(4), []
    made = controller(p=0.5)
    after(made, 6, sure=True)
    state = TrainingState("Toy")
    state.register(augment=made)
    content = deepcopy(state.content())  # as from a file
    for current in (made, controller(p=0.1)):
        again = TrainingState("Toy")
        again.register(augment=current)
        again.restore(deepcopy(content), "here")
        p = after(current, 2, sure=False, first=6)
        results.append((p, current.real_sign.item(), current(x)))
    assert results[0][:2] == results[1][:2] == (pytest.approx(0.5), 0)
    assert torch.equal(results[0][2], results[1][2])


def test_a_rehearsal_sees_the_memory_that_augmentation_will_need() -> None:
    made, needed = controller(p=0), {}
    for name, augment in (("without", lambda x: x), ("with", made)):
        with Rehearsal() as rehearsal:
            images = rehearsal.blank((4, 3, 64, 64), torch.device("cpu")).requires_grad_()
            augment(images).sum().backward()
            made.observe(images[:, 0, 0, 0])
            made.step_done(3)
        needed[name] = rehearsal.peak
    assert needed["with"] > 3 * needed["without"]
    assert made.pipe.p == 0 and made.sign_count == 0
