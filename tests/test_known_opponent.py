"""The discriminator that SAM trained against: kept in its file, gone on from, and used in personalisation."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from toy_networks import SMALL_VGG, network_file

from models.auxiliary import load_age_classifier
from models.feature_discriminator import HEADS, load_heads
from training.opponent import FrozenOpponent
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

AGAINST = ("--adversarial_lambda=1", "--discriminator=age_features")


@pytest.fixture(scope="module")
def opposed(files: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a SAM that trained against heads on the age classifier."""
    folder = tmp_path_factory.mktemp("opposed")
    toys.train(toys.arguments("sam", files, folder, *AGAINST, "--max_steps=2"))
    return str(folder / "checkpoints" / "iteration_2.pt")


def test_heads_are_kept_and_gone_on_from(opposed: str, files: SimpleNamespace, tmp_path: Path) -> None:
    device = torch.device("cpu")
    kept = load_checkpoint(opposed)[HEADS]
    heads = load_heads(kept, opposed, load_age_classifier(files.age_classifier, device))
    for name, value in heads.state_dict().items():
        torch.testing.assert_close(value, kept["state_dict"][name])
    going_on = toys.coach(
        toys.arguments("sam", files, tmp_path, *AGAINST, f"--checkpoint_path={opposed}", "--max_steps=1")
    )
    begun = going_on.opponent.discriminator.state_dict()
    torch.testing.assert_close(begun["first.0.bias"], kept["state_dict"]["first.0.bias"])
    assert HEADS in going_on.weights()


def test_another_age_classifier_begins_with_fresh_heads(
    opposed: str, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(11)
    other = save_checkpoint(network_file("age_classifier", SMALL_VGG), tmp_path / "other.pt")
    more = [*AGAINST, f"--checkpoint_path={opposed}", f"--age_classifier={other}", "--max_steps=1"]
    toys.coach(toys.arguments("sam", files, tmp_path / "run", *more))
    assert "begins with a fresh discriminator" in "".join(capsys.readouterr())


def test_personalisation_is_opposed_at_its_ages(opposed: str, files: SimpleNamespace, tmp_path: Path) -> None:
    """Every step has the term, the heads stay as they are, and the file keeps them."""
    more = [f"--checkpoint_path={opposed}", "--adversarial_lambda=0.5", "--max_steps=3"]
    coach = toys.coach(toys.arguments("mytimemachine", files, tmp_path, *more))
    opponent = coach.objective.measures.opponent
    assert isinstance(opponent, FrozenOpponent)
    before = {name: value.clone() for name, value in opponent.heads.state_dict().items()}
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    young, old = (opponent.heads(images, torch.full((2,), age)) for age in (10.0, 80.0))
    assert not torch.equal(young, old)
    opponent.fool(images, torch.tensor([10.0, 80.0])).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    figures = [coach.training_step() for _ in range(2)]
    assert all("loss_adversarial_real" in step for step in figures)
    for name, value in opponent.heads.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert HEADS in coach.weights()


def test_a_sam_without_one_is_refused(files: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no discriminator, which --adversarial_lambda needs"):
        toys.coach(toys.arguments("mytimemachine", files, tmp_path, "--adversarial_lambda=1"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda heads: 3, "holds no weights"),
        (lambda heads: {**heads, "answers": heads["answers"] + 1}, "another age classifier"),
        (lambda heads: {**heads, "answers": "one"}, "not a tensor"),
        (lambda heads: {**heads, "state_dict": {"first.0.bias": torch.ones(2)}}, "first.0"),
    ],
)
def test_damaged_heads(damage, message: str, opposed: str, files: SimpleNamespace, tmp_path: Path) -> None:
    content = load_checkpoint(opposed)
    broken = save_checkpoint({**content, HEADS: damage(content[HEADS])}, tmp_path / "broken.pt")
    more = [f"--checkpoint_path={broken}", "--adversarial_lambda=1"]
    with pytest.raises(InputError, match=message):
        toys.coach(toys.arguments("mytimemachine", files, tmp_path / "run", *more))
