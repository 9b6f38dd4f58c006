"""Adapters beside the official one, and SAM fine-tuned: trained by the coach, resumed, saved, used."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from toy_networks import tiny_psp

from models.adapters import ADAPTERS, GaussianProcessAdapter, build_adapter
from models.aging_model import HasAdapter, load_aging_model
from models.blender import BlenderConfig
from models.psp import append_age
from models.psp_files import load_psp, psp_checkpoint
from utils.errors import InputError, StoppedError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

NEW = [name for name in ADAPTERS if name != "bottleneck"]
CODES, AGES = torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 0.3, 1.0])


def adapter(name: str) -> torch.nn.Module:
    if name == "gaussian_process":
        pytest.importorskip("gpytorch", reason="needs the extra `gaussian-process`")
    return build_adapter(6, 20, BlenderConfig(type=name, ages=4 * (name == "gaussian_process")))


@pytest.mark.parametrize("name", NEW)
def test_every_adapter_starts_as_the_identity_and_learns(name: str) -> None:
    torch.manual_seed(0)
    found = adapter(name)
    assert torch.equal(found(CODES, AGES), CODES)
    learning = [parameter for parameter in found.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.03)
    wanted = CODES + AGES[:, None, None] * torch.linspace(-1, 1, 20)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = (found(CODES, AGES) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < (0.7 if name == "delta" else 0.3) * losses[0], "one offset fits one age at best"
    moved = found(CODES[:1].expand(3, -1, -1), AGES) - CODES[:1]
    assert torch.allclose(moved[0], moved[2]) == (name == "delta"), "all but one offset know the age"


@pytest.mark.parametrize("name", NEW)
def test_a_file_tells_its_adapter(name: str, tmp_path: Path) -> None:
    adapter(name)
    net = tiny_psp(blender=BlenderConfig(type=name, ages=3 * (name == "gaussian_process")), seed=1)
    assert net.blender is not None
    for parameter in net.blender.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    if isinstance(net.blender, GaussianProcessAdapter):
        net.blender.ages.copy_(torch.tensor([0.2, 0.4, 0.6]))
    codes, years = torch.randn(2, net.n_styles, 12), torch.tensor([20.0, 61.0])
    for suffix in ("pt", "safetensors"):
        path = save_checkpoint(psp_checkpoint(net), tmp_path / f"net.{suffix}")
        again = load_psp(load_checkpoint(path), str(path))
        assert again.config == net.config
        assert torch.equal(again.personalize(codes, years), net.personalize(codes, years))


@pytest.mark.parametrize("name", ["bottleneck", "linear"])
def test_finer_styles_may_stay_those_of_sam(name: str, files: SimpleNamespace, tmp_path: Path) -> None:
    """The adapter has no weights for them, trained and loaded; both ways through the network agree."""
    more = (*SHORT, f"--blender_type={name}", "--fixed_styles=2")
    toys.train(toys.arguments("mytimemachine", files, tmp_path, *more))
    path = toys.run_folder("mytimemachine", tmp_path) / "checkpoints" / "iteration_4.pt"
    net = toys.network(path)
    codes, years = torch.randn(2, net.n_styles, 12), torch.tensor([20.0, 61.0])
    personal = net.personalize(codes, years)
    assert torch.equal(personal[:, 4:], codes[:, 4:])
    assert (personal[:, :4] != codes[:, :4]).flatten(1).any(1).all()
    assert not any(
        f"_{style}." in key for key in net.blender.state_dict() for style in range(4, net.n_styles)
    )
    photos = append_age(torch.rand(2, 3, 32, 32), years)
    _, latents = net(photos, return_latents=True)
    torch.testing.assert_close(latents, net.personalize(net.encode(photos), years))


def test_the_official_adapter_is_described_as_ever() -> None:
    official = {"bottleneck", "global_dim", "age_dim", "hidden", "zero_init"}
    assert set(BlenderConfig().to_dict()) == official
    assert set(BlenderConfig(fixed_styles=4).to_dict()) == official | {"fixed_styles"}


def test_a_gaussian_process_leaves_ages_far_from_all_photos_to_the_global_model() -> None:
    process = adapter("gaussian_process")
    assert isinstance(process, GaussianProcessAdapter)
    process.ages.copy_(torch.tensor([0.2, 0.25, 0.3, 0.35]))
    torch.nn.init.ones_(process.whitened)
    at, between, far = (
        process(CODES[:1], torch.tensor([age])).sub(CODES[:1]).abs().mean() for age in (0.25, 0.27, 1.0)
    )
    assert far < 1e-6 < 0.1 < between and torch.isclose(at, between, rtol=0.2)


def test_without_gpytorch_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpytorch.kernels", None)
    monkeypatch.setitem(sys.modules, "gpytorch.constraints", None)
    with pytest.raises(InputError, match="need gpytorch; run: pip install 'gpytorch"):
        build_adapter(6, 20, BlenderConfig(type="gaussian_process", ages=2))


def test_an_unknown_adapter_is_refused() -> None:
    with pytest.raises(ValueError, match="'other' is no type of adapter"):
        build_adapter(6, 20, BlenderConfig(type="other"))
    with pytest.raises(ValueError, match="leaves 6 styles alone, and a code has 6"):
        build_adapter(6, 20, BlenderConfig(fixed_styles=6))


# ---------------------------------------------------------------- the coach

SHORT = ("--max_steps=4", "--val_interval=0", "--optim_name=ranger", "--learning_rate=1e-2")
WAYS = {name: (f"--blender_type={name}",) for name in NEW} | {
    "encoder": ("--personalize=encoder",),
    "encoder as SAM": ("--personalize=encoder", "--extrapolation_target=photo"),
}


QUICK = ("delta", "encoder")  # the others are built and used alike


@pytest.mark.parametrize(
    "way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS]
)
def test_trained_resumed_saved_and_loaded(
    way: str, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way in ADAPTERS:
        adapter(way)
    whole, parts = (
        toys.arguments("mytimemachine", files, tmp_path / name, *SHORT, *WAYS[way])
        for name in ("whole", "parts")
    )
    toys.train(whole)
    with monkeypatch.context() as patch, pytest.raises(StoppedError, match="stopped at step 2"):
        toys.terminate_at(patch, "mytimemachine", 2)
        toys.train(parts)
    toys.train(parts)
    first, second = (
        toys.run_folder("mytimemachine", tmp_path / name) / "checkpoints" / "iteration_4.pt"
        for name in ("whole", "parts")
    )
    ours, again = load_checkpoint(first)["state_dict"], load_checkpoint(second)["state_dict"]
    assert ours.keys() == again.keys() and all(torch.equal(ours[key], again[key]) for key in ours)
    before = toys.network(files.sam).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], ours[key])}
    model = load_aging_model(first)
    assert model.age_path(torch.zeros(1, 3, 32, 32), [20, 60]).isfinite().all()
    if way in ADAPTERS:
        assert not changed and isinstance(model, HasAdapter) and not model.fine_tuned
        assert any(value.abs().sum() > 0 for key, value in ours.items() if "blender" in key)
    else:
        assert changed == {"encoder"} and model.fine_tuned and model.kind == "sam"


def test_statistics_of_a_fine_tuned_encoder_stay(files: SimpleNamespace, tmp_path: Path) -> None:
    coach = toys.coach(toys.arguments("mytimemachine", files, tmp_path, *SHORT, *WAYS["encoder"]))
    coach.training_step()
    before = toys.network(files.sam).state_dict()
    moved = [key for key, value in coach.net.state_dict().items() if not torch.equal(value, before[key])]
    assert moved and not any("running" in key for key in moved)
    frozen = toys.network(files.sam).encoder.state_dict()
    known = coach.global_encoder.state_dict()
    assert all(torch.equal(frozen[key], known[key]) for key in frozen), "the global encoder is as it was"


def test_what_does_not_go_together_is_one_sentence(files: SimpleNamespace, tmp_path: Path) -> None:
    for flags, sentence in (
        (["--personalize=encoder"], "has an adapter already; --personalize=encoder begins with a SAM"),
        (["--blender_type=delta"], "has another adapter; add --blender_type=bottleneck --fixed_styles=0"),
        (["--fixed_styles=3"], "has another adapter; add --blender_type=bottleneck --fixed_styles=0"),
    ):
        more = [f"--checkpoint_path={files.mytimemachine}", *flags]
        with pytest.raises(InputError, match=sentence):
            toys.coach(toys.arguments("mytimemachine", files, tmp_path, *more))
    with pytest.raises(InputError, match=r"--fixed_styles=6: the codes of .*sam.pt have 6 styles"):
        toys.coach(toys.arguments("mytimemachine", files, tmp_path, "--fixed_styles=6"))
