"""The objective of SAM computes what the official coach computes, term by term, log by log."""

import pytest
import torch

import parity

pytest.importorskip("lpips")

import coach_parity

from criteria.objective import Pass
from criteria.sam_objective import SAM, SAMWeights

ENTRIES = parity.entries("sam_coach_losses")


def run(entry, dtype):
    seed, args = entry["weights"]["seed"], entry["args"]
    objective = coach_parity.objective(entry, SAM[:1], SAMWeights, coach_parity.measures(seed, dtype))
    inputs = parity.inputs(entry, dtype)
    recipe = {"fn": "array", "key": "latent_avg", "shape": [18, 512], "seed": seed}
    generated = inputs["y_hat"].requires_grad_(dtype == torch.float64)  # float32 gradients are too noisy
    latent = inputs["latent"].requires_grad_()
    losses = objective(
        Pass(
            generated,
            objective.targets_of(inputs["x"]),
            latent,
            parity.tensor(recipe, dtype),
            coach_parity.years(args["target_ages"], dtype),
            coach_parity.years(args["input_ages"], dtype),
            mode="no_aging" if args["no_aging"] else "aging",
            name=args["data_type"],
        )
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
