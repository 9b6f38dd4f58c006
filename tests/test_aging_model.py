"""The ageing contract: loading by kind, batched ages, the global encoder, and clear refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_networks import ADAPTER, INVERTER, SMALL_VGG, network_file, stylegan2_checkpoint, tiny_psp

from models.aging_model import (
    Ages,
    AgingModel,
    HasAdapter,
    StyleModel,
    TakesGlobalEncoder,
    age_grid,
    load_aging_model,
)
from models.blender import BlenderConfig
from models.psp import append_age, pSp
from models.psp_aging import PersonalizedModel, PSPAgingModel
from models.psp_files import psp_checkpoint
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint


def saved(model: pSp, path: Path) -> Path:
    return save_checkpoint(psp_checkpoint(model), path)


@pytest.mark.parametrize("adapter", [None, ADAPTER])
def test_transform_is_the_network_at_fixed_noise(tmp_path: Path, adapter: BlenderConfig | None) -> None:
    network = tiny_psp(blender=adapter)
    model = load_aging_model(saved(network, tmp_path / "model.pt"))
    assert model.kind == ("mytimemachine" if adapter else "sam")
    assert (model.input_size, model.output_size) == (32, 16)
    images, ages = torch.randn(3, 3, 32, 32), torch.tensor([5.0, 41.5, 90.0])
    expected = network(append_age(images, ages), resize=False, randomize_noise=False)
    torch.testing.assert_close(model.transform(images, ages), expected)
    torch.testing.assert_close(model(images, ages), expected)


def test_age_path_equals_single_ages_and_encodes_the_photo_once() -> None:
    model = PSPAgingModel(tiny_psp(blender=ADAPTER))
    calls = {"prior": [], "encoder": []}
    for name, module in (("prior", model.network.pretrained_encoder), ("encoder", model.network.encoder)):
        module.register_forward_hook(lambda _, x, y, name=name: calls[name].append(len(x[0])))
    images, ages = torch.randn(2, 3, 32, 32), [0, 30.5, 60, 100]
    path = model.age_path(images, ages)
    assert path.shape == (2, 4, 3, 16, 16)
    assert calls == {"prior": [2], "encoder": [8]}
    for index, age in enumerate(ages):
        torch.testing.assert_close(path[:, index], model.transform(images, age))
    grid = torch.tensor([[0.0, 60.0], [30.5, 100.0]])
    separate = model.age_path(images, grid)
    torch.testing.assert_close(separate[0], path[0, [0, 2]])
    torch.testing.assert_close(separate[1], path[1, [1, 3]])


def test_rendering_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = PSPAgingModel(tiny_psp())
    images = torch.randn(2, 3, 32, 32)
    whole = model.age_path(images, [10, 50, 80])
    monkeypatch.setattr("models.aging_model.PIXELS_ON_CPU", 2 * 16 * 16)
    torch.testing.assert_close(model.age_path(images, [10, 50, 80]), whole)


def test_other_input_sizes_are_resized() -> None:
    model = PSPAgingModel(tiny_psp())
    images = torch.randn(1, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    small = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(model.transform(images, 40), model.transform(small, 40))


def test_mixed_precision_is_close_and_returns_float32(tmp_path: Path) -> None:
    path = saved(tiny_psp(), tmp_path / "sam.pt")
    exact, fast = load_aging_model(path), load_aging_model(path, mixed_precision="bf16")
    images = torch.randn(2, 3, 32, 32)
    result = fast.transform(images, 60)
    assert result.dtype == torch.float32
    reference = exact.transform(images, 60)
    assert float((result - reference).square().mean().sqrt() / reference.std()) < 0.05


def test_global_checkpoint_gives_the_encoder(tmp_path: Path) -> None:
    sam, personal = tiny_psp(), tiny_psp(blender=ADAPTER)
    paths = saved(sam, tmp_path / "sam.pt"), saved(personal, tmp_path / "mtm.pt")
    model = load_aging_model(paths[1], global_checkpoint=paths[0])
    personal.encoder.load_state_dict(sam.encoder.state_dict())
    images = torch.randn(1, 3, 32, 32)
    expected = personal(append_age(images, 20.0), resize=False, randomize_noise=False)
    torch.testing.assert_close(model.transform(images, 20), expected)
    with pytest.raises(InputError, match="for MyTimeMachine checkpoints"):
        load_aging_model(paths[0], global_checkpoint=paths[0])
    with pytest.raises(InputError, match="mtm.pt is a MyTimeMachine checkpoint, not a SAM"):
        load_aging_model(paths[1], global_checkpoint=paths[1])


def test_what_only_some_models_have(tmp_path: Path) -> None:
    sam = load_aging_model(saved(tiny_psp(), tmp_path / "sam.pt"))
    assert isinstance(sam, StyleModel)
    assert not isinstance(sam, HasAdapter) and not isinstance(sam, TakesGlobalEncoder)
    network = tiny_psp(blender=ADAPTER)
    personal = load_aging_model(saved(network, tmp_path / "mtm.pt"))
    assert isinstance(personal, StyleModel) and isinstance(personal, HasAdapter)
    assert isinstance(personal, TakesGlobalEncoder)
    personal.switch_off_adapter()
    network.blender = None
    images = torch.randn(1, 3, 32, 32)
    expected = network(append_age(images, 20.0), resize=False, randomize_noise=False)
    torch.testing.assert_close(personal.transform(images, 20), expected)


@pytest.mark.parametrize(
    ("opts", "drifted", "trained_from"),
    [
        ({}, True, None),  # of the official program, whose files name no architecture
        ({"checkpoint_path": "theirs.pt"}, True, None),  # a path of another machine
        ({"architecture": {"input_nc": 4}, "checkpoint_path": "sam.pt"}, False, "sam.pt"),
        (
            {"architecture": {"input_nc": 4}, "recipe": "official", "checkpoint_path": "sam.pt"},
            True,
            "sam.pt",
        ),
    ],
)
def test_whose_encoder_has_drifted(opts: dict[str, Any], drifted: bool, trained_from: str | None) -> None:
    model = PersonalizedModel(tiny_psp(blender=ADAPTER), opts=opts)
    assert (model.encoder_has_drifted, model.global_checkpoint) == (drifted, trained_from)


def test_the_crop_is_that_of_the_file(tmp_path: Path) -> None:
    assert load_aging_model(saved(tiny_psp(), tmp_path / "tight.pt")).crop == "tight"
    assert load_aging_model(saved(tiny_psp(crop="ffhq"), tmp_path / "ffhq.pt")).crop == "ffhq"


class Brighter(AgingModel):
    """The least that an ageing model must have: one per cent brighter a year."""

    kind, input_size, output_size, crop = "brighter", 8, 8, "tight"

    def age_path(self, images: torch.Tensor, ages: Ages) -> torch.Tensor:
        return images[:, None] + age_grid(ages, images)[..., None, None, None] / 100


def test_one_method_makes_a_model() -> None:
    images = torch.zeros(2, 3, 8, 8)
    for ages in (30, [30.0, 30.0], torch.tensor([30.0, 30.0])):
        torch.testing.assert_close(Brighter().transform(images, ages), torch.full_like(images, 0.3))
    assert Brighter().age_path(images, torch.tensor([10.0, 20.0, 30.0])).shape == (2, 3, 3, 8, 8)


def test_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    gan = save_checkpoint(stylegan2_checkpoint(), tmp_path / "gan.pt")
    with pytest.raises(InputError, match="gan.pt is a StyleGAN2 checkpoint, not an ageing model"):
        load_aging_model(gan)
    age = network_file("age_classifier", SMALL_VGG)
    with pytest.raises(InputError, match="age.pt is an age classifier"):
        load_aging_model(save_checkpoint(age, tmp_path / "age.pt"))
    inverter = tiny_psp(**INVERTER)
    with pytest.raises(InputError, match="psp.pt is a pSp checkpoint without an ageing encoder"):
        load_aging_model(saved(inverter, tmp_path / "psp.pt"))
    with pytest.raises(InputError, match="no such checkpoint"):
        load_aging_model(tmp_path / "missing.pt")


def test_nothing_is_trainable() -> None:
    model = PSPAgingModel(tiny_psp(blender=ADAPTER))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.transform(torch.randn(1, 3, 32, 32, requires_grad=True), 30).requires_grad
