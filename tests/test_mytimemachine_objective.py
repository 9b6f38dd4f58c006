"""The objective of MyTimeMachine: official numbers in every mode, and what each repair changes."""

import dataclasses
import functools

import pytest
import torch
from torch import nn

import parity
from criteria.age_sampling import cosine_weight
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.lpips_loss import AgeFeatureLoss
from criteria.mytimemachine_objective import MyTimeMachineObjective, MyTimeMachineWeights
from criteria.mytimemachine_recipe import CORRECTED, OFFICIAL, get_recipe
from criteria.nearest_neighbor_id_loss import ReferenceBank
from models.dex_vgg import VGG
from utils.errors import InputError

ENTRIES = parity.entries("mtm_coach_losses")


def weights_of(entry):
    flags = dict(entry["args"]["flags"])
    assert flags.pop("start_from_encoded_w_plus")
    return MyTimeMachineWeights(**flags)


@functools.cache
def official_bank(seed, dtype):
    import coach_parity

    references = ENTRIES[0]["args"]["reference_images"]
    identity = coach_parity.terms(seed, dtype)[0]
    with torch.no_grad():
        images = torch.stack([parity.tensor(reference["image"], dtype) for reference in references])
        features = torch.cat([identity.features(image[None]) for image in images])
    return ReferenceBank(features, tuple(float(reference["age"]) for reference in references))


def run(entry, dtype):
    import coach_parity

    seed, args = entry["weights"]["seed"], entry["args"]
    objective = MyTimeMachineObjective(
        weights_of(entry),
        *coach_parity.terms(seed, dtype),
        references=official_bank(seed, dtype),
        age_range=tuple(args["training_age_range"]),
        recipe=OFFICIAL,
    )
    inputs = parity.inputs(entry, dtype)
    recipe = {"fn": "array", "key": "latent_avg", "shape": [18, 512], "seed": seed}
    generated = inputs["y_hat"].requires_grad_(dtype == torch.float64)  # float32 gradients are too noisy
    latent = inputs["latent"].requires_grad_()
    extrapolates = args["mode"] == "extrapolation"
    losses = objective(
        generated,
        objective.describe(inputs["x"]),
        latent,
        parity.tensor(recipe, dtype),
        coach_parity.years(args["target_ages"], dtype),
        coach_parity.years(args["input_ages"], dtype),
        mode=args["mode"],
        pass_name=args["data_type"],
        global_targets=objective.describe(inputs["y_global"], identity=False) if extrapolates else None,
    )
    return losses, generated, latent


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_official_losses_and_logs(entry):
    pytest.importorskip("lpips")
    import coach_parity

    losses, _, latent = run(entry, torch.float32)
    parity.check(losses.total, entry, "total")
    coach_parity.check_log(losses.scalars, entry["outputs"]["loss_dict"])
    coach_parity.check_per_image(losses.per_image, entry["outputs"]["id_logs"])
    (gradient,) = torch.autograd.grad(losses.total, latent)
    parity.check(gradient, entry, "grad/latent")


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_official_gradients_in_float64(entry):
    pytest.importorskip("lpips")
    losses, generated, latent = run(entry, torch.float64)
    losses.total.backward()
    parity.check(losses.total, entry, "total", float64=True)
    parity.check(latent.grad, entry, "grad/latent", float64=True)
    parity.check(generated.grad, entry, "grad/y_hat", float64=True)


# ---------------------------------------------------------------- repairs


class TinyIdentity(nn.Module):
    """Embeds a picture as its 2 x 2 average."""

    def embed(self, images):
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def tiny_objective(recipe, references=(30.0, 33.0, 36.0), **changed_weights):
    torch.manual_seed(1)
    age_network = VGG(input_size=16, channels=(4, 4), depths=(1, 1), hidden=8)
    identity = IDLoss(TinyIdentity())
    photos = torch.rand(len(references), 3, 32, 32)
    return MyTimeMachineObjective(
        MyTimeMachineWeights(**changed_weights),
        identity,
        AgeFeatureLoss(age_network),
        AgingLoss(age_network),
        references=ReferenceBank.build(identity.features(photos), references),
        age_range=(30.0, 36.0),
        recipe=recipe,
    )


def tiny_losses(objective, mode, pass_name="real", batch=2, target=(60.0, 12.0), given=(33.0, 36.0)):
    torch.manual_seed(2)
    generated, images, y_global = (torch.rand(2, 3, 32, 32).repeat(batch // 2, 1, 1, 1) for _ in range(3))
    latent, average = torch.randn(2, 4, 8).repeat(batch // 2, 1, 1), torch.randn(4, 8)
    return objective(
        generated,
        objective.describe(images),
        latent,
        average,
        torch.tensor(target).repeat(batch // 2),
        torch.tensor(given).repeat(batch // 2),
        mode=mode,
        pass_name=pass_name,
        global_targets=objective.describe(y_global, identity=False) if mode == "extrapolation" else None,
    )


def changed(**switches):
    return dataclasses.replace(OFFICIAL, **switches)


def test_recipes_by_name():
    assert get_recipe("corrected") == CORRECTED and all(dataclasses.asdict(CORRECTED).values())
    assert get_recipe("official") == OFFICIAL and not any(dataclasses.asdict(OFFICIAL).values())
    with pytest.raises(InputError, match="corrected or official"):
        get_recipe("fixed")


def test_aging_loss_counts_once_in_extrapolation():
    twice = tiny_losses(tiny_objective(OFFICIAL), "extrapolation")
    once = tiny_losses(tiny_objective(changed(aging_loss_once=True)), "extrapolation")
    torch.testing.assert_close(twice.total - once.total, 5.0 * once.scalars["loss_aging_real"])


def test_adaptive_w_norm_no_longer_grows_with_the_batch():
    sums = [
        tiny_losses(tiny_objective(OFFICIAL), "extrapolation", batch=batch).scalars["loss_w_norm_real"]
        for batch in (2, 4)
    ]
    means = [
        tiny_losses(tiny_objective(CORRECTED), "extrapolation", batch=batch).scalars["loss_w_norm_real"]
        for batch in (2, 4)
    ]
    torch.testing.assert_close(sums[1], 2 * sums[0])
    torch.testing.assert_close(means[0], means[1])
    torch.testing.assert_close(means[1], sums[1])


def test_plain_weights_hold_where_no_age_changes():
    flags = {"l2_lambda": 1.0, "l2_lambda_aging": 3.0}
    official = tiny_losses(tiny_objective(OFFICIAL, **flags), "no_aging")
    repaired = tiny_losses(tiny_objective(changed(plain_weights_without_aging=True), **flags), "no_aging")
    torch.testing.assert_close(official.total - repaired.total, 2.0 * official.scalars["loss_l2_real"])
    for mode in ("interpolation", "extrapolation"):
        same = [
            tiny_losses(tiny_objective(recipe, **flags), mode).total
            for recipe in (OFFICIAL, changed(plain_weights_without_aging=True))
        ]
        torch.testing.assert_close(*same)


def test_neighbours_three_years_away_count():
    wanted = torch.tensor([36.0])
    official, repaired = tiny_objective(OFFICIAL), tiny_objective(CORRECTED)
    assert repaired.references.mask(wanted, official=False).tolist() == [[False, True, True]]
    narrow = official.references.mask(torch.tensor([33.0]), official=True)
    assert not narrow.all() and repaired.references.mask(torch.tensor([33.0])).all()


def test_weight_of_the_neighbour_loss():
    flags = {"nearest_neighbor_id_loss_lambda": 3.0}
    official = tiny_losses(tiny_objective(OFFICIAL, **flags), "interpolation")
    repaired = tiny_losses(tiny_objective(changed(neighbour_weight_respected=True), **flags), "interpolation")
    gain = 2.0 * official.scalars["nearest_neighbor_id_loss"]
    torch.testing.assert_close(repaired.total - official.total, gain)


def test_terms_of_the_cycle_pass_have_names_of_their_own():
    objective = tiny_objective(CORRECTED)
    names = [set(tiny_losses(objective, "interpolation", name).scalars) for name in ("real", "cycle")]
    assert names[0].isdisjoint(names[1])
    assert "nearest_neighbor_id_loss_cycle" in names[1]


def test_identity_weight_falls_with_the_distance_to_the_training_range():
    objective = tiny_objective(CORRECTED)
    target, given = torch.tensor([60.0, 12.0]), torch.tensor([33.0, 36.0])
    outside = objective.identity_weights(target, given, "extrapolation")
    torch.testing.assert_close(outside, cosine_weight(torch.tensor([24.0, 18.0])))
    inside = objective.identity_weights(target, given, "interpolation")
    torch.testing.assert_close(inside, cosine_weight(target - given))


def test_logs_carry_no_graph_and_extrapolation_needs_the_global_pictures():
    objective = tiny_objective(CORRECTED)
    losses = tiny_losses(objective, "interpolation")
    logged = [*losses.scalars.values(), *losses.per_image.values()]
    assert not any(value.requires_grad for value in logged)
    with pytest.raises(ValueError, match="global network"):
        objective(
            torch.zeros(1, 3, 32, 32),
            objective.describe(torch.zeros(1, 3, 32, 32)),
            torch.zeros(1, 4, 8),
            torch.zeros(4, 8),
            torch.tensor([60.0]),
            torch.tensor([33.0]),
            mode="extrapolation",
            pass_name="real",
        )


def test_a_term_without_its_network_is_refused():
    with pytest.raises(ValueError, match="ageing loss"):
        MyTimeMachineObjective(
            MyTimeMachineWeights(),
            IDLoss(TinyIdentity()),
            AgeFeatureLoss(VGG(input_size=16, channels=(4, 4), depths=(1, 1), hidden=8)),
            None,
            references=ReferenceBank.build(torch.eye(2), [30.0, 40.0]),
            age_range=(30.0, 40.0),
        )
