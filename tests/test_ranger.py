"""Ranger follows the official trajectory; the other optimisers are torch's own."""

import pytest
import torch

import parity
from training.optimizers import build_optimizer
from utils.errors import InputError

OFFICIAL_NAMES = {"N_sma_threshhold": "n_sma_threshold"}
# The official code centres gradients whether use_gc is set or not.
IGNORED = ("lr", "use_gc")


def official_ranger(entry, params):
    given = {name: value for name, value in entry["args"].items() if name not in IGNORED}
    args = {OFFICIAL_NAMES.get(name, name): value for name, value in given.items()}
    try:
        return build_optimizer("ranger", params, entry["args"]["lr"], **args)
    except TypeError as error:
        pytest.skip(f"our Ranger has no such setting: {error}")


@parity.each("ranger")
def test_ranger_follows_the_golden_trajectory(entry):
    recipes, seed = entry["inputs"], entry["weights"]["seed"]
    names = list(recipes["shapes"])
    params = {name: torch.nn.Parameter(parity.tensor(recipes[f"start/{name}"])) for name in names}
    goals = {name: parity.tensor(recipes[f"goal/{name}"]) for name in names}
    optimizer = official_ranger(entry, params.values())
    steps = {int(output.partition("/")[0].removeprefix("step")) for output in entry["outputs"]}
    for step in range(1, max(steps) + 1):
        for name, param in params.items():
            recipe = {"fn": "latent", "name": f"noise{step}/{name}", "shape": recipes["shapes"][name]}
            noise = parity.tensor({**recipe, "seed": seed})
            param.grad = 0.5 * (param.detach() - goals[name]) + 0.1 * noise
        optimizer.step()
        if step in steps:
            parity.check_all({f"step{step}/{name}": p for name, p in params.items()}, entry, limit=3e-6)


def test_ranger_state_resumes_exactly():
    def run(optimizer, param, steps):
        for step in steps:
            param.grad = torch.sin(param.detach() + step)
            optimizer.step()

    whole = torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
    run(build_optimizer("ranger", [whole], 1e-2), whole, range(15))
    first = torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
    half = build_optimizer("ranger", [first], 1e-2)
    run(half, first, range(8))
    second = torch.nn.Parameter(first.detach().clone())
    resumed = build_optimizer("ranger", [second], 1e-2)
    resumed.load_state_dict(half.state_dict())
    run(resumed, second, range(8, 15))
    torch.testing.assert_close(second, whole, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_other_optimizers_are_torchs_and_leave_frozen_parameters_out(name, kind):
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    trained = torch.nn.Parameter(torch.zeros(3))
    optimizer = build_optimizer(name, [frozen, trained], 1e-3, betas=(0.0, 0.99))
    assert isinstance(optimizer, kind)
    assert optimizer.param_groups[0]["params"] == [trained]
    assert optimizer.param_groups[0]["betas"] == (0.0, 0.99)


def test_parameter_groups_keep_their_own_rates():
    slow, fast = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer("adam", [{"params": [slow], "lr": 1e-5}, {"params": [fast]}], 1e-3)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-5, 1e-3]


def test_bad_requests_are_input_errors():
    param = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(InputError, match="optim_name=sgd"):
        build_optimizer("sgd", [param], 1e-3)
    with pytest.raises(InputError, match="nothing to train"):
        build_optimizer("adam", [param.requires_grad_(False)], 1e-3)


@pytest.mark.parametrize("name", ["ranger", "adam", "adamw"])
def test_settings_that_an_optimizer_does_not_know_are_refused(name):
    with pytest.raises(TypeError, match="N_sma_threshhold"):
        build_optimizer(name, [torch.nn.Parameter(torch.zeros(1))], 1e-3, N_sma_threshhold=5)
