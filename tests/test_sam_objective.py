"""The objective of SAM computes what the official coach computes, term by term, log by log."""

import pytest
import torch

import parity

pytest.importorskip("lpips")

import coach_parity

from criteria.objective import Pass
from criteria.sam_objective import SAM, SAMWeights


def run(entry, dtype):
    seed, args = entry["weights"]["seed"], entry["args"]
    objective = coach_parity.objective(entry, SAM[:1], SAMWeights, coach_parity.measures(seed, dtype))
    inputs = parity.inputs(entry, dtype)
    generated = inputs["y_hat"].requires_grad_(dtype == torch.float64)  # float32 gradients are too noisy
    latent = inputs["latent"].requires_grad_()
    losses = objective(
        Pass(
            generated,
            objective.targets_of(inputs["x"]),
            latent,
            coach_parity.average_code(entry, latent.shape[1], dtype),
            coach_parity.years(args["target_ages"], dtype),
            coach_parity.years(args["input_ages"], dtype),
            mode="no_aging" if args["no_aging"] else "aging",
            name=args["data_type"],
        )
    )
    return losses, coach_parity.returned(losses.total, entry, args["data_type"]), generated, latent


@parity.each("sam_coach_losses")
def test_losses_and_logs(entry):
    losses, total, _, latent = run(entry, torch.float32)
    parity.check(total, entry, "total")
    coach_parity.check_log(losses.scalars, entry["outputs"]["loss_dict"])
    coach_parity.check_per_image(losses.per_image, entry["outputs"]["id_logs"])
    (gradient,) = torch.autograd.grad(total, latent)
    parity.check(gradient, entry, "grad/latent")


@pytest.mark.slow
@parity.each("sam_coach_losses", "outputs_f64")
def test_gradients_in_float64(entry):
    _, total, generated, latent = run(entry, torch.float64)
    total.backward()
    parity.check(total, entry, "total", float64=True)
    parity.check(latent.grad, entry, "grad/latent", float64=True)
    parity.check(generated.grad, entry, "grad/y_hat", float64=True)
