"""The objective of SAM computes what the official coach computes, term by term, log by log."""

import pytest
import torch

import parity

pytest.importorskip("lpips")

import coach_parity

from criteria.objective import LossWeights
from criteria.sam_objective import SAMObjective

ENTRIES = parity.entries("sam_coach_losses")


def weights_of(entry):
    flags = dict(entry["args"]["flags"])
    assert flags.pop("start_from_encoded_w_plus")
    return LossWeights(**flags)


def run(entry, dtype):
    seed, args = entry["weights"]["seed"], entry["args"]
    objective = SAMObjective(weights_of(entry), *coach_parity.terms(seed, dtype), distinct_log_names=False)
    inputs = parity.inputs(entry, dtype)
    recipe = {"fn": "array", "key": "latent_avg", "shape": [18, 512], "seed": seed}
    generated = inputs["y_hat"].requires_grad_(dtype == torch.float64)  # float32 gradients are too noisy
    latent = inputs["latent"].requires_grad_()
    losses = objective(
        generated,
        objective.describe(inputs["x"]),
        latent,
        parity.tensor(recipe, dtype),
        coach_parity.years(args["target_ages"], dtype),
        coach_parity.years(args["input_ages"], dtype),
        no_aging=args["no_aging"],
        pass_name=args["data_type"],
    )
    return losses, generated, latent


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_losses_and_logs(entry):
    losses, _, latent = run(entry, torch.float32)
    parity.check(losses.total, entry, "total")
    coach_parity.check_log(losses.scalars, entry["outputs"]["loss_dict"])
    coach_parity.check_per_image(losses.per_image, entry["outputs"]["id_logs"])
    (gradient,) = torch.autograd.grad(losses.total, latent)
    parity.check(gradient, entry, "grad/latent")


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_gradients_in_float64(entry):
    losses, generated, latent = run(entry, torch.float64)
    losses.total.backward()
    parity.check(losses.total, entry, "total", float64=True)
    parity.check(latent.grad, entry, "grad/latent", float64=True)
    parity.check(generated.grad, entry, "grad/y_hat", float64=True)
