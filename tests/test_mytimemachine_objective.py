"""The objective of MyTimeMachine: official numbers in every mode, and what each repair changes."""

import dataclasses

import pytest
import torch
from toy_losses import SAM_FLAGS, TinyIdentity, tiny_measures
from toy_networks import tiny_vgg

import parity
from criteria.age_feature_loss import AgeFeatureLoss
from criteria.age_sampling import cosine_weight
from criteria.id_loss import IDLoss
from criteria.mytimemachine_objective import (
    MYTIMEMACHINE,
    MyTimeMachineWeights,
    by_distance,
    mytimemachine_terms,
)
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.objective import Measures, Objective, Pass, Targets
from criteria.recipes import MyTimeMachineRecipe, SAMRecipe, get_recipe
from utils.errors import InputError

CORRECTED = get_recipe(MyTimeMachineRecipe, "corrected")
OFFICIAL = get_recipe(MyTimeMachineRecipe, "official")


def run(entry, dtype):
    import coach_parity

    seed, args = entry["weights"]["seed"], entry["args"]
    measures, bank = coach_parity.measures(seed, dtype), coach_parity.reference_bank(entry, dtype)
    measures.references, measures.age_range = bank, tuple(args["training_age_range"])
    objective = coach_parity.objective(
        entry, MYTIMEMACHINE, MyTimeMachineWeights, measures, recipe="official"
    )
    inputs = parity.inputs(entry, dtype)
    generated = inputs["y_hat"].requires_grad_(dtype == torch.float64)  # float32 gradients are too noisy
    latent = inputs["latent"].requires_grad_()
    compared = None
    if args["mode"] == "extrapolation":
        compared = objective.targets_of(inputs["y_global"], leave_out=["identity"])
    losses = objective(
        Pass(
            generated,
            objective.targets_of(inputs["x"]),
            latent,
            coach_parity.average_code(entry, latent.shape[1], dtype),
            coach_parity.years(args["target_ages"], dtype),
            coach_parity.years(args["input_ages"], dtype),
            mode=args["mode"],
            name=args["data_type"],
            compared=compared,
        )
    )
    return losses, coach_parity.returned(losses.total, entry, args["data_type"]), generated, latent


@parity.each("mtm_coach_losses")
def test_official_losses_and_logs(entry):
    pytest.importorskip("lpips")
    import coach_parity

    losses, total, _, latent = run(entry, torch.float32)
    parity.check(total, entry, "total")
    coach_parity.check_log(losses.scalars, entry["outputs"]["loss_dict"])
    coach_parity.check_per_image(losses.per_image, entry["outputs"]["id_logs"])
    (gradient,) = torch.autograd.grad(total, latent)
    parity.check(gradient, entry, "grad/latent")


@pytest.mark.slow
@parity.each("mtm_coach_losses", "outputs_f64")
def test_official_gradients_in_float64(entry):
    pytest.importorskip("lpips")
    _, total, generated, latent = run(entry, torch.float64)
    total.backward()
    parity.check(total, entry, "total", float64=True)
    parity.check(latent.grad, entry, "grad/latent", float64=True)
    parity.check(generated.grad, entry, "grad/y_hat", float64=True)


# ---------------------------------------------------------------- repairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights(MyTimeMachineWeights):
    """Official weights with any set of repairs."""

    chosen: object = OFFICIAL

    @property
    def repairs(self):
        return self.chosen


def tiny_objective(recipe, references=(30.0, 33.0, 36.0), **changed_weights):
    torch.manual_seed(1)
    measures = tiny_measures(squares=2, age_range=(30.0, 36.0))
    photos = torch.rand(len(references), 3, 32, 32)
    measures.references = ReferenceBank.build(measures.identity.features(photos), references)
    weights = Weights(**{**SAM_FLAGS, **changed_weights}, chosen=recipe)
    rows = [row for row in mytimemachine_terms(weights) if row.weight > 0]
    return Objective(rows, measures, recipe.distinct_log_names)


def tiny_losses(objective, mode, pass_name="real", batch=2, target=(60.0, 12.0), given=(33.0, 36.0)):
    torch.manual_seed(2)
    generated, images, y_global = (torch.rand(2, 3, 32, 32).repeat(batch // 2, 1, 1, 1) for _ in range(3))
    latent, average = torch.randn(2, 4, 8).repeat(batch // 2, 1, 1), torch.randn(4, 8)
    compared = objective.targets_of(y_global, leave_out=["identity"]) if mode == "extrapolation" else None
    return objective(
        Pass(
            generated,
            objective.targets_of(images),
            latent,
            average,
            torch.tensor(target).repeat(batch // 2),
            torch.tensor(given).repeat(batch // 2),
            mode=mode,
            name=pass_name,
            compared=compared,
        )
    )


def changed(**switches):
    return dataclasses.replace(OFFICIAL, **switches)


@pytest.mark.parametrize("switches", [MyTimeMachineRecipe, SAMRecipe])
def test_recipes_by_name(switches):
    assert all(dataclasses.asdict(get_recipe(switches, "corrected")).values())
    assert not any(dataclasses.asdict(get_recipe(switches, "official")).values())
    assert get_recipe(switches, "corrected") == switches()
    with pytest.raises(InputError, match="corrected or official"):
        get_recipe(switches, "fixed")


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
    assert repaired.measures.references.mask(wanted, official=False).tolist() == [[False, True, True]]
    narrow = official.measures.references.mask(torch.tensor([33.0]), official=True)
    assert not narrow.all() and repaired.measures.references.mask(torch.tensor([33.0])).all()


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
    target, given = torch.tensor([60.0, 12.0]), torch.tensor([33.0, 36.0])
    measures, blank = Measures(age_range=(30.0, 36.0)), Targets(torch.zeros(2, 3, 4, 4))
    images, codes = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 8)
    outside = Pass(images, blank, codes, None, target, given, mode="extrapolation", compared=blank)
    torch.testing.assert_close(by_distance(measures, outside), cosine_weight(torch.tensor([24.0, 18.0])))
    inside = Pass(images, blank, codes, None, target, given, mode="interpolation")
    torch.testing.assert_close(by_distance(measures, inside), cosine_weight(target - given))


def test_logs_carry_no_graph_and_extrapolation_needs_the_global_pictures():
    objective = tiny_objective(CORRECTED)
    losses = tiny_losses(objective, "interpolation")
    logged = [*losses.scalars.values(), *losses.per_image.values()]
    assert not any(value.requires_grad for value in logged)
    images = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ValueError, match="global network"):
        Pass(images, objective.targets_of(images), torch.zeros(1, 4, 8), mode="extrapolation")


def test_a_term_without_its_network_is_refused():
    measures = Measures(
        IDLoss(TinyIdentity()),
        AgeFeatureLoss(tiny_vgg()),
        references=ReferenceBank.build(torch.eye(2), [30.0, 40.0]),
        age_range=(30.0, 40.0),
    )
    rows = [row for row in mytimemachine_terms(MyTimeMachineWeights(**SAM_FLAGS)) if row.weight > 0]
    with pytest.raises(ValueError, match="loss_aging has a weight of 5 but no aging"):
        Objective(rows, measures)


# ---------------------------------------------------------------- the ablation


def test_extrapolation_may_look_at_the_photo_as_in_sam():
    """All of SAM's terms, in their weights; the W-norm stays adaptive until its own flag says otherwise."""
    flags = {"extrapolation_target": "photo", "adaptive_w_norm_lambda": 0.0, "l2_lambda_aging": 2.0}
    flags["nearest_neighbor_id_loss_lambda"] = 0.0
    plain = tiny_objective(CORRECTED, **flags)
    torch.manual_seed(3)
    generated, images, codes = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), torch.randn(2, 4, 8)
    photos = plain.targets_of(images)
    ages = torch.tensor([60.0, 12.0]), torch.tensor([33.0, 36.0])
    totals = [
        plain(
            Pass(
                generated, photos, codes, torch.zeros(4, 8), *ages, mode=mode, name="real", compared=compared
            )
        ).total
        for mode, compared in (("extrapolation", photos), ("interpolation", None))
    ]
    torch.testing.assert_close(*totals)


def test_without_an_adaptive_w_norm_there_is_the_plain_one():
    found = tiny_losses(tiny_objective(CORRECTED, adaptive_w_norm_lambda=0.0), "extrapolation")
    plain = tiny_losses(tiny_objective(CORRECTED), "interpolation")
    torch.testing.assert_close(found.scalars["loss_w_norm_real"], plain.scalars["loss_w_norm_real"])
    official = tiny_losses(tiny_objective(OFFICIAL, adaptive_w_norm_lambda=0.0), "extrapolation")
    assert official.scalars["loss_w_norm_real"] == 0
