"""The discriminator on frozen features: its gradients, its ages, and that it learns from few pictures."""

import pytest
import torch
from torch import Tensor
from toy_networks import tiny_vgg

from models.dex_vgg import VGG
from models.feature_discriminator import AGE_CENTRES, REGIONS, FeatureDiscriminator, age_features
from training.adversary import Adversary

CHANNELS = (4, 8, 8)


@pytest.fixture
def face_network() -> VGG:
    torch.manual_seed(0)
    network = tiny_vgg(channels=CHANNELS, depths=(1, 1, 1), hidden=8, batch_norm=True)
    return network.requires_grad_(False)


def pictures(count: int, rough: bool) -> Tensor:
    """Noise, and noise without detail."""
    noise = torch.rand(count, 3, 32, 32) * 2 - 1
    return noise if rough else torch.nn.functional.avg_pool2d(noise, 5, 1, 2)


def test_one_logit_a_stage_and_region_and_gradients_reach_the_pictures(face_network: VGG) -> None:
    discriminator = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8)
    images = pictures(3, True).requires_grad_(True)
    logits = discriminator(images)
    assert logits.shape == (3, 1 + len(CHANNELS), REGIONS**2) and logits.dtype == torch.float32
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert gradient.abs().flatten(1).sum(1).min() > 0


def test_a_spot_changes_the_logits_of_its_region_most() -> None:
    torch.manual_seed(1)
    discriminator = FeatureDiscriminator(lambda images: [], (), width=8, knows_age=True)
    torch.nn.init.normal_(discriminator.age.weight)
    plain = pictures(1, True).repeat(1, 1, 4, 4)  # 128 pixels: every region is 16 wide
    spotted = plain.clone()
    spotted[:, :, 68:76, 100:108] += 1
    ages = torch.tensor([30.0])
    with torch.no_grad():
        change = (discriminator(spotted, ages) - discriminator(plain, ages)).abs().view(REGIONS, REGIONS)
    assert int(change.argmax()) == 4 * REGIONS + 6
    spot = change.max()
    change[3:6, 5:8] = 0
    assert change.max() < 0.2 * spot


def test_frozen_network_is_not_part_of_it(face_network: VGG) -> None:
    discriminator = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8)
    before = {key: value.clone() for key, value in face_network.state_dict().items()}
    own = sum(value.numel() for value in discriminator.parameters())
    assert own == sum(8 * c * 9 + 8 + 8 * 9 + 1 for c in (3, *CHANNELS))
    discriminator(pictures(2, True)).sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in face_network.state_dict().items())
    assert all(value.grad is None for value in face_network.parameters())


def test_brightness_of_a_network_does_not_matter(face_network: VGG) -> None:
    """Heads see every stage at one scale."""
    discriminator = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8).eval()
    louder = FeatureDiscriminator(
        lambda x: [100 * maps for maps in face_network.feature_maps(x)], CHANNELS, width=8
    ).eval()
    louder.load_state_dict(discriminator.state_dict())
    images = pictures(2, True)
    torch.testing.assert_close(discriminator(images), louder(images))


def test_ages_are_wanted_exactly_where_they_are_known(face_network: VGG) -> None:
    plain = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8)
    aged = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8, knows_age=True)
    with pytest.raises(ValueError, match="knows ages"):
        plain(pictures(2, True), torch.tensor([3.0, 4.0]))
    with pytest.raises(ValueError, match="knows ages"):
        aged(pictures(2, True))


def test_age_features_peak_at_their_age() -> None:
    features = age_features(torch.tensor([0.0, 50.0, 100.0, 34.0]))
    assert features.argmax(1).tolist() == [0, 5, 10, 3] and features.shape == (4, len(AGE_CENTRES))
    assert features.max().item() == 1.0
    torch.testing.assert_close(features[3, 3].item(), float(torch.exp(torch.tensor(-0.5 * 0.4**2))))


def test_learns_what_distinguishes_pictures_in_few_steps(face_network: VGG) -> None:
    discriminator = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8)
    adversary = Adversary(discriminator, learning_rate=5e-3, r1=0.0, r1_every=0)
    for step in range(40):
        adversary.learn(pictures(8, True), pictures(8, False), step)
    with torch.no_grad():
        assert (
            discriminator(pictures(16, True)).flatten(1).mean(1).min()
            > discriminator(pictures(16, False)).flatten(1).mean(1).max()
        )
        assert adversary.fool(pictures(8, True)) < adversary.fool(pictures(8, False))


def test_learns_which_age_a_picture_shows(face_network: VGG) -> None:
    """The same kind of picture is believable at one age and not at another."""
    discriminator = FeatureDiscriminator(face_network.feature_maps, CHANNELS, width=8, knows_age=True)
    adversary = Adversary(discriminator, learning_rate=5e-3, r1=0.0, r1_every=0, conditional=True)
    young, old = torch.full((8,), 10.0), torch.full((8,), 80.0)
    ages = torch.cat([young, old])
    for step in range(80):
        real = torch.cat([pictures(8, True), pictures(8, False)])
        made = torch.cat([pictures(8, False), pictures(8, True)])
        adversary.learn(real, made, step, ages, ages)
    rough = pictures(8, True)
    assert adversary.fool(rough, young) < adversary.fool(rough, old)
    smooth = pictures(8, False)
    assert adversary.fool(smooth, old) < adversary.fool(smooth, young)
