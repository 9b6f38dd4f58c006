"""The ageing contract: loading by kind, batched ages, the global encoder, and clear refusals."""

from pathlib import Path

import pytest
import torch
from test_dex_vgg import SMALL_VGG
from test_psp import TINY_ENCODER, TINY_GENERATOR, tiny

from models import auxiliary
from models.aging_model import PSPAgingModel, load_aging_model
from models.blender import BlenderConfig
from models.psp import append_age, pSp
from models.stylegan2.model import Generator
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint

ADAPTER = BlenderConfig(bottleneck=4, hidden=6, zero_init=False)


def saved(model: pSp, path: Path) -> Path:
    return save_checkpoint(model.to_checkpoint(), path)


@pytest.mark.parametrize("adapter", [None, ADAPTER])
def test_transform_is_the_network_at_fixed_noise(tmp_path: Path, adapter: BlenderConfig | None) -> None:
    network = tiny(blender=adapter)
    model = load_aging_model(saved(network, tmp_path / "model.pt"))
    assert model.kind == ("mytimemachine" if adapter else "sam")
    assert (model.input_size, model.output_size) == (32, 16)
    images, ages = torch.randn(3, 3, 32, 32), torch.tensor([5.0, 41.5, 90.0])
    expected = network(append_age(images, ages), resize=False, randomize_noise=False)
    torch.testing.assert_close(model.transform(images, ages), expected)
    torch.testing.assert_close(model(images, ages), expected)


def test_age_path_equals_single_ages_and_encodes_the_photo_once() -> None:
    model = PSPAgingModel(tiny(blender=ADAPTER))
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
    model = PSPAgingModel(tiny())
    images = torch.randn(2, 3, 32, 32)
    whole = model.age_path(images, [10, 50, 80])
    monkeypatch.setattr("models.aging_model.DECODER_PIXELS", 2 * 16 * 16)
    torch.testing.assert_close(model.age_path(images, [10, 50, 80]), whole)


def test_other_input_sizes_are_resized() -> None:
    model = PSPAgingModel(tiny())
    images = torch.randn(1, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    small = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(model.transform(images, 40), model.transform(small, 40))


def test_mixed_precision_is_close_and_returns_float32(tmp_path: Path) -> None:
    path = saved(tiny(), tmp_path / "sam.pt")
    exact, fast = load_aging_model(path), load_aging_model(path, mixed_precision="bf16")
    images = torch.randn(2, 3, 32, 32)
    result = fast.transform(images, 60)
    assert result.dtype == torch.float32
    reference = exact.transform(images, 60)
    assert float((result - reference).square().mean().sqrt() / reference.std()) < 0.05


def test_global_checkpoint_gives_the_encoder(tmp_path: Path) -> None:
    sam, personal = tiny(), tiny(blender=ADAPTER)
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


def test_other_kinds_are_refused_by_name(tmp_path: Path) -> None:
    weights = {"g_ema": Generator.from_config(TINY_GENERATOR).state_dict(), "latent_avg": torch.zeros(12)}
    gan = save_checkpoint(weights, tmp_path / "gan.pt")
    with pytest.raises(InputError, match="gan.pt is a StyleGAN2 checkpoint, not an ageing model"):
        load_aging_model(gan)
    age = auxiliary.network_checkpoint("age_classifier", SMALL_VGG, auxiliary.build_network(SMALL_VGG))
    with pytest.raises(InputError, match="age.pt is an age classifier"):
        load_aging_model(save_checkpoint(age, tmp_path / "age.pt"))
    inverter = pSp(TINY_GENERATOR, TINY_ENCODER, 3, True, False)
    with pytest.raises(InputError, match="psp.pt is a pSp checkpoint without an ageing encoder"):
        load_aging_model(saved(inverter, tmp_path / "psp.pt"))
    with pytest.raises(InputError, match="no such checkpoint"):
        load_aging_model(tmp_path / "missing.pt")


def test_nothing_is_trainable() -> None:
    model = PSPAgingModel(tiny(blender=ADAPTER))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.transform(torch.randn(1, 3, 32, 32, requires_grad=True), 30).requires_grad
