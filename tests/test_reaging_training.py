"""The training of Re-Aging GAN: its losses by value, its phases, masks, and what it refuses."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import training_toys as toys
from PIL import Image
from torch import Tensor
from toy_networks import TINY_REAGING

from criteria.gan_losses import generator_minimax_loss, generator_nonsaturating_loss
from criteria.objective import Measures, Objective
from criteria.reaging_objective import ReAgingWeights, reaging_terms
from models.aging_model import load_aging_model
from models.reaging_gan.age_code import age_code
from models.reaging_gan.generator import ReAgingGenerator
from training.steps_reaging import Faces, reaging_step
from utils.errors import InputError, StoppedError
from utils.files.checkpoints import load_checkpoint

PAPER = ReAgingWeights()
TWO = ("--max_steps=2", "--val_interval=2")


class Branches:
    """A discriminator that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Tensor] = []

    def fool(self, images: Tensor, conditions: Tensor | None = None) -> Tensor:
        assert conditions is not None
        self.asked.append(conditions)
        return images.mean()


class Shifts:
    """A generator that adds the number of the class to the picture: 0, 1 or 2."""

    identity_encoder = staticmethod(lambda images: images)

    def render(self, identity: Tensor, codes: Tensor) -> Tensor:
        classes = codes.view(len(codes), 3, 50).mean(2)
        return identity + (classes @ torch.arange(3.0))[:, None, None, None]

    __call__ = render


def step(faces: Faces, weights: ReAgingWeights = PAPER, **more: Any) -> tuple[Any, Branches]:
    opponent = Branches()
    terms = [term for term in reaging_terms(weights) if term.weight > 0]
    objective = Objective(terms, Measures(opponent=opponent), distinct_log_names=False)
    generator: Any = Shifts()
    return reaging_step(generator, objective, faces, **more), opponent


def two_faces() -> Faces:
    return Faces(
        images=torch.zeros(2, 3, 4, 4),
        own=torch.eye(3)[[1, 2]],
        target=torch.eye(3)[[2, 0]],
        own_ages=torch.tensor([35.0, 70.0]),
        target_ages=torch.tensor([70.0, 10.0]),
    )


def test_losses_by_hand() -> None:
    """Faces of classes 1 and 2 go to 2 and 0: pictures of 2 and 0; own ones of 1 and 2; back 2 + 1, 0 + 2."""
    result, opponent = step(two_faces())
    figures = {name: float(value) for name, value in result.scalars.items()}
    assert figures["loss_adversarial"] == pytest.approx(1.0)
    assert figures["loss_rec"] == pytest.approx(1.5) and figures["loss_cyc"] == pytest.approx(2.5)
    assert float(result.total) == pytest.approx(1.0 + 10 * 1.5 + 2.5) == pytest.approx(figures["loss"])
    assert len(opponent.asked) == 1 and torch.equal(opponent.asked[0], two_faces().target)
    assert result.aged.mean((1, 2, 3)).tolist() == pytest.approx([2.0, 0.0])
    later, _ = step(two_faces(), ReAgingWeights(rec_lambda=1.0, cycle_lambda=0.5, adversarial_lambda=2.0))
    assert float(later.total) == pytest.approx(2.0 + 1.5 + 0.5 * 2.5)


def test_validation_asks_no_discriminator() -> None:
    result, opponent = step(two_faces(), trained=False)
    assert not opponent.asked and float(result.total) == pytest.approx(10 * 1.5 + 2.5)


def test_outside_the_mask_nothing_is_made() -> None:
    masks = torch.zeros(2, 1, 4, 4)
    masks[:, :, :2] = 1
    images = torch.randn(2, 3, 4, 4)
    result, _ = step(replace(two_faces(), images=images, masks=masks))
    assert torch.equal(result.aged[:, :, 2:], images[:, :, 2:])
    assert float(result.scalars["loss_rec"]) == pytest.approx(0.75), "half of the picture"
    assert float(result.scalars["loss_cyc"]) == pytest.approx(1.25)


def test_noise_of_the_codes_reaches_all_passes() -> None:
    noise = torch.zeros(2, 3, 150)
    noise[:, 1, 100:] = 5.0  # one whole class 2 more, on the way to the own group
    result, _ = step(replace(two_faces(), noise=noise))
    assert float(result.scalars["loss_rec"]) == pytest.approx(1.5 + 2)
    assert float(result.scalars["loss_cyc"]) == pytest.approx(2.5)


def test_the_way_back_teaches_the_way_there() -> None:
    """The gradient of the cycle goes through both passes; with a detached one it would be smaller."""
    torch.manual_seed(0)
    generator = ReAgingGenerator(classes=3, **TINY_REAGING).eval()
    images = torch.rand(2, 3, 16, 16)
    faces = replace(two_faces(), images=images)
    only_cycle = ReAgingWeights(rec_lambda=0, adversarial_lambda=0)
    objective = Objective([term for term in reaging_terms(only_cycle) if term.weight], Measures())
    weight = generator.decoder.last.weight
    (whole,) = torch.autograd.grad(reaging_step(generator, objective, faces).total, weight)
    with torch.no_grad():
        aged = generator(images, age_code(faces.target))
    loss = (generator(aged, age_code(faces.own)) - images).abs().mean()
    (detached,) = torch.autograd.grad(loss, weight)
    assert not torch.allclose(whole, detached, rtol=0.01)


def test_forms_of_the_adversarial_loss() -> None:
    logits = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    made_up = [1 / (1 + math.exp(-value)) for value in (0.0, 2.0)]
    expected = sum(math.log(1 - d) for d in made_up) / 2
    assert float(generator_minimax_loss(logits)) == pytest.approx(expected)
    assert float(generator_nonsaturating_loss(logits)) == pytest.approx(-sum(map(math.log, made_up)) / 2)


# ---------------------------------------------------------------- the coach


def coach(files: SimpleNamespace, tmp_path: Path, *more: str) -> Any:
    return toys.coach(toys.arguments("reaging_gan", files, tmp_path / "run", *more))


def train(files: SimpleNamespace, folder: Path, *more: str) -> Path:
    toys.train(toys.arguments("reaging_gan", files, folder, *more))
    return folder


def test_epochs_become_steps(files: SimpleNamespace, tmp_path: Path) -> None:
    """Of 8 faces in batches of 4: two steps each."""
    ours = coach(files, tmp_path, "--max_steps=0", "--epochs=7")
    ours.run.close()
    assert (ours.opts.max_steps, ours.opts.image_interval) == (14, 0)
    (default,) = [coach(files, tmp_path / "b", "--max_steps=0", "--batch_size=2")]
    default.run.close()
    assert default.opts.max_steps == 30 * 4
    command = toys.arguments("reaging_gan", files, tmp_path / "c")
    command.remove("--image_interval=0")
    sheets = toys.coach(command)
    sheets.run.close()
    assert (sheets.opts.max_steps, sheets.opts.image_interval) == (30, 10), "every fifth epoch"


def test_a_target_is_never_the_own_group(files: SimpleNamespace, tmp_path: Path) -> None:
    ours = coach(files, tmp_path, "--age_groups=0-30,31-50,51-100")
    ours.run.close()
    labels = torch.arange(3).repeat(400)
    targets = ours._other_classes(labels)
    assert (targets != labels).all()
    counts = torch.bincount(3 * labels + targets, minlength=9).view(3, 3)
    assert counts.diagonal().sum() == 0 and (counts + 200 * torch.eye(3) > 140).all()


def test_phases_are_functions_of_the_step(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps an epoch: after two epochs the later weight, after each three half the rates."""
    more = ("--max_steps=8", "--rec_epochs=2", "--decay_epochs=3", "--val_interval=0", "--rec_lambda_later=3")
    folder = tmp_path / "run"
    command = toys.arguments("reaging_gan", files, folder, *more)
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        toys.terminate_at(patch, "reaging_gan", 5)
        toys.train(command)
    toys.train(command)
    assert toys.scalars(folder, "train/rec_lambda") == [10.0] * 4 + [3.0] * 4
    assert toys.scalars(folder, "train/learning_rate") == pytest.approx([1e-2] * 6 + [5e-3] * 2)
    own, rec = (toys.scalars(folder, f"train/{name}") for name in ("loss_own", "loss_rec"))
    ratios = [total / part for total, part in zip(own, rec, strict=True)]
    assert ratios == pytest.approx([10.0] * 4 + [3.0] * 4, rel=1e-4), "the weight that was used"
    groups = load_checkpoint(folder / "checkpoints/resume_state.pt")["optimizers"]
    assert groups["generator"]["param_groups"][0]["lr"] == pytest.approx(5e-3)
    assert groups["d"]["param_groups"][0]["lr"] == pytest.approx(5e-3 * 4 / 5)  # R1 every fourth step


def test_a_training_with_masks_leaves_the_background(files: SimpleNamespace, tmp_path: Path) -> None:
    folder = train(files, tmp_path / "run", *TWO, "--masks=landmarks", "--output_size=32", "--aug=ada")
    assert {path.name for path in folder.glob("landmarks_*.pt")} == {
        "landmarks_train.pt",
        "landmarks_test.pt",
    }
    model: Any = load_aging_model(folder / "checkpoints" / "iteration_2.pt")
    images = torch.rand(1, 3, 32, 32)
    outside = (model.masks(images, 32) == 0).expand(-1, 3, -1, -1)
    assert outside.any() and torch.equal(model.transform(images, 80)[outside], images[outside])
    (sheet,) = (folder / "logs" / "images").glob("reaging_*.jpg")
    assert Image.open(sheet).width > 3 * 32  # input and two groups


def test_a_training_with_mask_files(files: SimpleNamespace, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (*Path(files.faces).iterdir(), *Path(files.test).iterdir()):
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(masks / f"{path.stem}.png")
    folder = train(files, tmp_path / "run", *TWO, "--masks=files", f"--mask_folder={masks}")
    (row,) = map(json.loads, (folder / "logs" / "validation.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["loss_rec"] == row["loss_cyc"] == 0, "everything is background"


VARIANTS: list[Sequence[str]] = [
    ("--aug=fixed", "--p=0.5", "--class_balance=1", "--adversarial_form=log", "--r1=0"),
    ("--gradient_accumulation_steps=2", "--rec_lambda=0", "--test_dataset=", "--mixed_precision=bf16"),
    ("--checkpoint_path={reaging_gan}", "--n_test=3", "--test_batch_size=2"),
    (
        *("--id_lambda=0.1", "--aging_lambda=1", "--aging_augment", "--lpips_lambda=0.1", "--perceptual=dex"),
        *("--use_weighted_id_loss", "--age_classifier={age_classifier}", "--identity_network={identity}"),
    ),
]


@pytest.mark.parametrize("more", VARIANTS, ids=lambda more: more[0])
def test_variants_train(more: Sequence[str], files: SimpleNamespace, tmp_path: Path) -> None:
    folder = train(files, tmp_path, *TWO, *(word.format(**vars(files)) for word in more))
    content = load_checkpoint(folder / "checkpoints" / "iteration_2.pt")
    assert {"state_dict", "d", "classes", "architecture"} <= content.keys()
    if "--id_lambda=0.1" in more:
        for name in ("loss_id", "loss_aging", "loss_lpips"):
            assert all(value > 0 for value in toys.scalars(folder, f"train/{name}"))


def test_a_start_takes_both_networks(files: SimpleNamespace, tmp_path: Path) -> None:
    first = train(files, tmp_path / "a", *TWO) / "checkpoints" / "iteration_2.pt"
    ours = coach(files, tmp_path, f"--checkpoint_path={first}")
    ours.run.close()
    content = load_checkpoint(first)
    for network, entry in ((ours.generator, "state_dict"), (ours.adversary.discriminator, "d")):
        assert all(torch.equal(value, content[entry][name]) for name, value in network.state_dict().items())


def test_the_labels_of_a_data_set(files: SimpleNamespace, tmp_path: Path) -> None:
    data = toys.make_faces(tmp_path / "data")
    names = sorted(path.name for path in data.iterdir())
    labels = {"labels": [[name, number % 2] for number, name in enumerate(names)]}
    (data / "dataset.json").write_text(json.dumps(labels))
    more = (f"--train_dataset={data}", "--cond", "--test_dataset=")
    with pytest.raises(InputError, match=r"the classes of .*data are no age groups"):
        coach(files, tmp_path, *more)
    (data / "dataset.json").write_text(json.dumps({**labels, "age_groups": "0-30,31-70"}))
    ours = coach(files, tmp_path, *more)
    ours.run.close()
    assert str(ours.groups) == "0-30,31-70" and ours.batches.dataset.label_of.tolist() == [0, 1] * 4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--checkpoint_path={sam}"], "is a SAM checkpoint, not a Re-Aging GAN"),
        (["--checkpoint_path={reaging_gan}", "--base_channels=6"], "does not fit"),
        (["--age_groups=0-39,40-89,90-100"], "too few pictures of the age group 90-100: 0"),
        (["--masks=files", "--mask_folder=/nowhere"], "the masks .--mask_folder=/nowhere"),
        (["--masks=files", "--mask_folder={people}"], "8 of 8 masks are missing"),
        (["--aging_lambda=1", "--age_classifier=none.pt"], "the age classifier .--age_classifier=none.pt"),
    ],
    ids=lambda item: item if isinstance(item, str) else None,
)
def test_what_cannot_be_trained(more: list[str], words: str, files: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        coach(files, tmp_path, *(word.format(**vars(files)) for word in more))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_trains_on_a_gpu(files: SimpleNamespace, tmp_path: Path) -> None:
    more = ("--device=cuda", "--mixed_precision=auto", "--masks=landmarks", "--aug=ada", "--d_reg_every=1")
    folder = train(files, tmp_path, *TWO, *more)
    model = load_aging_model(folder / "checkpoints" / "iteration_2.pt", "cuda", mixed_precision="auto")
    assert model.transform(torch.rand(1, 3, 16, 16), 50.0).isfinite().all()
