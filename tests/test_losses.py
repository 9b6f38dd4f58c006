"""Identity, ageing, W-norm, crop, neighbour losses: golden numbers, float64 gradients, and behaviour."""

import functools

import pytest
import torch
from coach_parity import Remember, fill_with
from torch import nn

import parity
from criteria.adaptive_w_norm import PUBLISHED_BATCH, adaptive_w_norm, adaptive_weights
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss, cosine_similarity, weighted_identity_loss
from criteria.nearest_neighbor_id_loss import ReferenceBank, nearest_neighbor_id_loss
from criteria.w_norm import w_norm
from models.auxiliary import AgeClassifier, IdentityNetwork
from models.dex_vgg import VGG
from models.encoders.model_irse import Backbone
from utils.faces.boxes import FACE_CROP, FractionalCrop


@functools.lru_cache(maxsize=1)
def identity_network(seed, dtype):
    network = parity.quick(Backbone, 112, 50, "ir_se", drop_ratio=0.6)
    return Remember(fill_with(network, seed).to(dtype))


def official_identity(entry, dtype=torch.float32):
    return IDLoss(IdentityNetwork(identity_network(entry["weights"]["seed"], dtype)))


def official_ages(entry, dtype=torch.float32):
    return AgingLoss(AgeClassifier(parity.network(entry, VGG, dtype)))


# ---------------------------------------------------------------- crops


@parity.each("small_losses", "rows", "columns")
def test_inner_crop_is_the_official_one(entry):
    parity.check(FACE_CROP(parity.inputs(entry)["x"]), entry, "y")


@pytest.mark.parametrize(("size", "expected"), [(64, (47, 47)), (128, (94, 94)), (1024, (752, 752))])
def test_crop_scales_with_the_picture(size, expected):
    assert tuple(FACE_CROP(torch.zeros(1, 3, size, size)).shape[-2:]) == expected


def test_crop_rejects_an_empty_rectangle():
    with pytest.raises(ValueError, match="rectangle"):
        FractionalCrop(0.5, 0.5, 0.0, 1.0)


# ---------------------------------------------------------------- identity


@parity.each("id_loss", "pooled")
def test_crop_and_pool_of_the_identity_network(entry):
    images = parity.inputs(entry)["x"]
    parity.check_all({"crop": FACE_CROP(images), "pooled": unseen_network().prepare(images)}, entry)


def unseen_network(input_size=112):
    """A face network of which only the input matters."""
    network = nn.Identity()
    network.input_size = input_size
    return IdentityNetwork(network)


@parity.each("id_loss", "features")
def test_identity_features(entry):
    with torch.no_grad():
        parity.check(official_identity(entry).features(parity.inputs(entry)["x"]), entry, "features")


@parity.each("id_loss", "sim_improvement")
def test_identity_loss(entry):
    weights, label = entry["args"].get("weights"), entry["args"].get("label")
    with torch.no_grad():
        images = parity.inputs(entry).items()
        features = {name: official_identity(entry).features(value) for name, value in images}
    similarity = cosine_similarity(features["y_hat"], features["y"])
    to_input = cosine_similarity(features["y_hat"], features["x"])
    views = cosine_similarity(features["y"], features["x"])
    value = weighted_identity_loss(similarity, None if weights is None else torch.tensor(weights))
    parity.check_all({"loss": value, "sim_improvement": (similarity - views).mean()}, entry)
    suffix = f"_{label}" if label else ""
    for row, log in enumerate(entry["outputs"]["logs"]):
        assert float(similarity[row]) == pytest.approx(log["diff_target" + suffix], abs=1e-5)
        assert float(to_input[row]) == pytest.approx(log["diff_input" + suffix], abs=1e-5)
        assert float(views[row]) == pytest.approx(log["diff_views" + suffix], abs=1e-5)


def is_plain(entry):
    """The special case without weights."""
    return entry["args"].get("weights") is None


@parity.each("id_loss", "sim_improvement", "outputs_f64", extra=is_plain)
def test_identity_gradient_in_float64(entry):
    images, weights = parity.inputs(entry, torch.float64), entry["args"].get("weights")
    generated = images["y_hat"].requires_grad_()
    if weights is not None:
        weights = torch.tensor(weights, dtype=torch.float64)
    loss = official_identity(entry, torch.float64)
    with torch.no_grad():
        features = loss.features(images["y"])
    value, _ = loss(generated, features, weights)
    value.backward()
    parity.check_all({"loss": value, "grad/y_hat": generated.grad}, entry, float64=True)


class Embedder(nn.Module):
    """Stands for a face network."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 16, 8)
        self.calls = 0

    def embed(self, images):
        self.calls += 1
        pooled = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        return nn.functional.normalize(self.linear(pooled), dim=1)


def test_features_of_the_target_are_given_and_stay_outside_the_graph():
    network = Embedder()
    loss = IDLoss(network).train()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    generated, target = torch.randn(2, 3, 32, 32, requires_grad=True), torch.randn(2, 3, 32, 32)
    features = loss.features(target)
    network.calls = 0
    value, similarity = loss(generated, features)
    assert network.calls == 1
    torch.testing.assert_close(value, (1 - similarity).mean())
    value.backward()
    assert generated.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_identity_input_has_one_size_whatever_the_picture(size):
    assert unseen_network().prepare(torch.zeros(1, 3, size, size)).shape == (1, 3, 112, 112)


# ---------------------------------------------------------------- ageing


@parity.each("age", "ages", "x")
def test_ages_of_pictures(entry):
    with torch.no_grad():
        ages = official_ages(entry).extract_ages(parity.inputs(entry)["x"])
    parity.check(ages, entry, "ages")


@parity.each("age", "loss", "target_ages")
def test_aging_loss(entry):
    loss, inputs = official_ages(entry), parity.inputs(entry)
    with torch.no_grad():
        value, ages = loss(inputs["y_hat"], 100 * inputs["target_ages"])
        input_ages = loss.extract_ages(inputs["y"])
    parity.check(value, entry, "loss")
    label = entry["args"].get("label")
    suffix = f"_{label}" if label else ""
    for row, log in enumerate(entry["outputs"]["logs"]):
        assert float(ages[row]) == pytest.approx(log["output_age" + suffix], rel=1e-5)
        assert float(input_ages[row]) == pytest.approx(log["input_age" + suffix], rel=1e-5)


@pytest.mark.slow
@parity.each("age", "loss", "target_ages", "outputs_f64")
def test_aging_gradient_in_float64(entry):
    loss, inputs = official_ages(entry, torch.float64), parity.inputs(entry, torch.float64)
    generated = inputs["y_hat"].requires_grad_()
    value, _ = loss(generated, 100 * inputs["target_ages"])
    value.backward()
    parity.check_all({"loss": value, "grad/y_hat": generated.grad}, entry, float64=True)


def test_aging_loss_shows_the_classifier_changed_pictures_only_for_gradients():
    """Tints that the augmentation takes away teach nothing; without gradients nothing is changed."""
    red = nn.Module()
    red.predict_age = lambda images: 50 + 20 * (images[:, 0] - images[:, 1]).mean(dim=(1, 2))
    grey = AgingLoss(red, augment=lambda images: images.mean(1, keepdim=True).expand_as(images))
    images = torch.rand(2, 3, 8, 8).requires_grad_()
    loss, ages = grey(images, torch.tensor([20.0, 80.0]))
    loss.backward()
    assert images.grad.abs().max() < 1e-8
    torch.testing.assert_close(ages, torch.full((2,), 50.0))
    torch.testing.assert_close(grey(images.detach(), ages)[1], AgingLoss(red)(images.detach(), ages)[1])
    AgingLoss(red)(images, torch.tensor([20.0, 80.0]))[0].backward()
    assert images.grad.abs().max() > 1e-4


def test_aging_loss_is_differentiable_through_predict_age():
    class Brightness(nn.Module):
        def predict_age(self, images):
            return 50 + 50 * images.mean(dim=(1, 2, 3))

    images = torch.zeros(2, 3, 8, 8, requires_grad=True)
    value, ages = AgingLoss(Brightness())(images, torch.tensor([50.0, 80.0]))
    torch.testing.assert_close(value, torch.tensor(0.045))
    assert ages.tolist() == [50, 50]
    value.backward()
    assert (images.grad[1] < 0).all() and (images.grad[0] == 0).all()


def test_a_pattern_has_to_convince_every_age_classifier():
    def classifier(channel):
        network = nn.Module()
        network.predict_age = lambda images: 50 + 50 * images[:, channel].mean(dim=(1, 2))
        return network

    images = torch.zeros(1, 3, 8, 8)
    images[:, 0] = 1.0  # 100 years to the first
    loss = AgingLoss(classifier(0), further=[classifier(1), classifier(2)])
    value, ages = loss(images, torch.tensor([100.0]))
    torch.testing.assert_close(value, torch.tensor((0 + 0.25 + 0.25) / 3))
    torch.testing.assert_close(ages, torch.tensor([200 / 3]))
    torch.testing.assert_close(loss.extract_ages(images), torch.tensor([100.0]))  # the first tells ages


def test_likeness_is_the_mean_of_all_identity_networks():
    class Channels(nn.Module):
        def __init__(self, first):
            super().__init__()
            self.first = first

        def embed(self, images):
            return nn.functional.normalize(images[:, self.first : self.first + 2].mean(dim=(2, 3)), dim=1)

    torch.manual_seed(0)
    one, two = torch.randn(2, 3, 3, 4, 4)
    both = IDLoss(Channels(0), further=[Channels(1)])
    features = both.features(one)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    _, similarity = both(two, features)
    alone = [IDLoss(Channels(first)) for first in (0, 1)]
    parts = [loss(two, loss.features(one))[1] for loss in alone]
    torch.testing.assert_close(similarity, torch.stack(parts).mean(0))


# ---------------------------------------------------------------- W-norm


@parity.each("small_losses", "latent", "latent_avg")
def test_w_norm(entry):
    inputs, args = parity.inputs(entry), entry["args"]
    latent = inputs["latent"].requires_grad_()
    starts = args.get("start_from_latent_avg") or args.get("start_from_encoded_w_plus")
    value = w_norm(latent, inputs["latent_avg"] if starts else None).mean()
    value.backward()
    parity.check_all({"loss": value, "grad/latent": latent.grad}, entry)


def test_w_norm_at_the_average_has_a_finite_gradient():
    average = torch.randn(4, 8)
    latent = average.repeat(2, 1, 1).requires_grad_()
    w_norm(latent, average).mean().backward()
    assert latent.grad.isfinite().all()


def test_adaptive_w_norm_sums_officially_and_ignores_the_batch_size_when_corrected():
    latent, average = torch.randn(2, 4, 8), torch.randn(4, 8)
    target, given = torch.tensor([12.0, 91.0]), torch.tensor([33.0, 58.0])
    each = adaptive_weights(target, given, 7.0) * w_norm(latent, average)
    official = functools.partial(adaptive_w_norm, scale=7.0, sum_over_batch=True)
    corrected = functools.partial(adaptive_w_norm, scale=7.0)
    torch.testing.assert_close(official(latent, average, target, given), each.sum())
    torch.testing.assert_close(corrected(latent, average, target, given), PUBLISHED_BATCH * each.mean())
    four = latent.repeat(2, 1, 1), average, target.repeat(2), given.repeat(2)
    torch.testing.assert_close(corrected(*four), official(*four))
    torch.testing.assert_close(corrected(*four), corrected(latent, average, target, given))
    assert adaptive_weights(given, given, 7.0).tolist() == [0, 0]


# ---------------------------------------------------------------- nearest neighbour


def unit(rows):
    return nn.functional.normalize(torch.tensor(rows), dim=1)


def test_the_most_similar_photo_of_the_window_counts():
    bank = ReferenceBank.build(unit([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]]), [30, 32, 40, 60])
    features = unit([[1.0, 0.0], [1.0, 0.0]]).requires_grad_()

    def loss(features, target_ages):
        return nearest_neighbor_id_loss(features, bank.features, bank.mask(target_ages))

    # ages 30 and 32 count for the first, age 60 for the second
    torch.testing.assert_close(loss(features, torch.tensor([31.0, 70.0])), torch.tensor((0.0 + 2.0) / 2))
    assert bank.mask(torch.tensor([31.0])).tolist() == [[True, True, False, False]]
    loss(features, torch.tensor([31.0, 70.0])).backward()
    assert features.grad.isfinite().all()


def test_a_bank_of_both_flips_holds_each_photo_twice():
    one, two = unit([[1.0, 0.0]]), unit([[0.0, 1.0]])
    bank = ReferenceBank.build([one, two], [30.0])
    assert bank.ages == (30.0, 30.0)
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert nearest_neighbor_id_loss(two, bank.features, mask) == pytest.approx(0)


def test_a_bank_without_photos_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        ReferenceBank.build(torch.zeros(0, 4), [])
