"""Style consistency: Gram matrices by hand, layers of VGG-19, which network it takes, and that it learns."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from torch import Tensor, nn
from toy_networks import tiny_vgg

from configs.paths_config import model_paths
from criteria.objective import Measures, Objective, Pass, weighted_terms
from criteria.style_loss import STYLE, StyleLoss, StyleWeights, gram_matrix
from models.auxiliary import AgeClassifier
from models.dex_vgg import VGG
from models.vgg19 import VGG19, vgg19_from
from training.measures import style_weights
from utils.errors import InputError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return toys.make_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(autouse=True)
def _no_weights_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setitem(model_paths, "vgg19", "absent.pth")


def age_style() -> StyleLoss:
    classifier = AgeClassifier(tiny_vgg())
    return StyleLoss(classifier, classifier.first_maps)


# ---------------------------------------------------------------- formulas


def test_a_gram_matrix_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels of two pixels
    assert gram_matrix(maps).tolist() == [[[5 / 4, 1 / 4], [1 / 4, 10 / 4]]]
    mirrored = gram_matrix(maps.flip(3))  # where something is does not matter
    torch.testing.assert_close(mirrored, gram_matrix(maps))
    assert gram_matrix(maps.bfloat16()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        large = torch.full((1, 1, 16, 16), 1.01)
        torch.testing.assert_close(gram_matrix(large), torch.full((1, 1, 1), 1.01**2))


def test_the_loss_by_hand() -> None:
    loss = StyleLoss(nn.Identity(), lambda images: [images[:, :1], 2 * images[:, :1]])
    first, second = torch.full((2, 3, 4, 4), 1.0), torch.full((2, 3, 4, 4), 3.0)
    first[1] = second[1]
    # Gram matrices 1 and 9, then 4 and 36; the second picture has none of it.
    expected = ((9 - 1) ** 2 + (36 - 4) ** 2) / 2 / 2
    assert float(loss(first, loss.features(second))) == pytest.approx(expected)


def test_vgg19_gives_the_first_convolutions_of_torchvisions() -> None:
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        whole = models.vgg19()
    own = VGG19()
    shapes = {key: value.shape for key, value in whole.state_dict().items()}
    assert {f"{key}": value.shape for key, value in own.state_dict().items()}.items() <= shapes.items()
    activations = [0, 5, 10, 19, 28]
    layers = whole.features[:30].to_empty(device="cpu")
    layers.load_state_dict(own.features.state_dict())
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    x = (images + 1) / 2
    x = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    expected = []
    with torch.no_grad():
        for number, layer in enumerate(layers):
            x = layer(x)
            if number - 1 in activations:
                expected.append(x.clone())
        found = own.first_maps(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_age_classifiers_first_convolutions() -> None:
    network = VGG(4, 32, channels=(2, 3, 4, 5, 6), hidden=4, depths=(2, 1, 1, 1, 1)).eval()
    images = torch.randn(1, 3, 32, 32)
    maps = network.first_maps(images)
    assert [m.shape[1] for m in maps] == [2, 3, 4, 5, 6]
    torch.testing.assert_close(maps[0], network.conv1_1(images).relu())
    torch.testing.assert_close(maps[1:], network.feature_maps(images)[1:])


# ---------------------------------------------------------------- the term


def term(weight: float = 1.0) -> Objective:
    rows = weighted_terms([STYLE], StyleWeights(style_lambda=weight))
    return Objective(rows, Measures(style=age_style()))


def test_pictures_take_on_the_style_of_the_target() -> None:
    torch.manual_seed(0)
    objective = term()
    targets = objective.targets_of(torch.rand(1, 3, 32, 32) * 2 - 1)
    pictures = (0.1 * torch.randn(1, 3, 32, 32)).requires_grad_(True)
    optimizer = torch.optim.Adam([pictures], 0.05)

    def value() -> Tensor:
        return objective(Pass(pictures, targets, torch.zeros(1, 2, 4), name="real")).total

    before = float(value().detach())
    for _ in range(40):
        (pictures.grad,) = torch.autograd.grad(value(), pictures)
        optimizer.step()
    assert float(value().detach()) < 0.1 * before


def test_extrapolation_keeps_the_style_of_the_global_picture() -> None:
    objective = term()
    photo, drawn = (objective.targets_of(torch.rand(1, 3, 32, 32) * 2 - 1) for _ in range(2))
    this = Pass(drawn.images, photo, torch.zeros(1, 2, 4), mode="extrapolation", compared=drawn)
    assert float(objective(this).total) == 0


def test_the_term_needs_its_network() -> None:
    with pytest.raises(ValueError, match="loss_style has a weight of 1 but no style"):
        Objective(weighted_terms([STYLE], StyleWeights(style_lambda=1.0)), Measures())


# ---------------------------------------------------------------- which network


def test_vgg19_where_it_is_at_hand_and_the_age_classifier_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert style_weights(StyleWeights()) is None
    assert style_weights(StyleWeights(style_network="vgg19")) == "absent.pth"  # to be named as missing
    assert style_weights(StyleWeights(style_weights="own.pth")) == "own.pth"
    cached = tmp_path / "cache" / "checkpoints" / "absent.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert style_weights(StyleWeights()) == str(cached)
    assert style_weights(StyleWeights(style_network="dex")) is None


def test_a_foreign_file_is_named() -> None:
    with pytest.raises(InputError, match="a.pth does not hold torchvision's VGG-19"):
        vgg19_from({"state_dict": {"features.0.weight": torch.zeros(64, 3, 3, 3)}}, "a.pth")


@pytest.mark.parametrize("coach", ["sam", "mytimemachine"])
def test_coaches_train_with_it_and_say_whose_features(
    coach: str, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    toys.train(toys.arguments(coach, files, run, "--style_lambda=0.5", "--max_steps=2"))
    assert "style: features of the age classifier" in capsys.readouterr().out
    values = toys.scalars(toys.run_folder(coach, run), "train/loss_style_real")
    assert len(values) == 2 and values[-1] > 0  # the new adapter leaves pictures as they were
    with pytest.raises(InputError, match=r"VGG-19 \(--style_weights=absent.pth\).*download_weights.py vgg19"):
        toys.train(
            toys.arguments(coach, files, tmp_path / "other", "--style_lambda=0.5", "--style_network=vgg19")
        )
