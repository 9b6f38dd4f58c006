"""Checkpoint files: round trips, atomic writing, refusal of code, and errors that name the cause."""

import argparse
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from models.kinds import checkpoint_kind
from models.loading import SkipInit, load_into, subset
from models.misfit import likely_cause
from utils.errors import InputError
from utils.files import checkpoints
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.writing import write_json, written_atomically

CONTENT = {
    "state_dict": {"encoder.weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(7)},
    "g_ema": {"conv.bias": torch.ones(4, dtype=torch.float16)},
    "latent_avg": torch.full((2, 3), 0.5),
    "opts": {"output_size": 128, "channels": [1, 2], "name": "sam", "resume": None, "lr": 1e-4},
}


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = save_checkpoint(CONTENT, tmp_path / "new" / f"model{suffix}")
    loaded = load_checkpoint(path)
    assert set(loaded) == set(CONTENT)
    assert loaded["opts"] == CONTENT["opts"]
    assert torch.equal(loaded["latent_avg"], CONTENT["latent_avg"])
    for entry in ("state_dict", "g_ema"):
        assert set(loaded[entry]) == set(CONTENT[entry])
        for key, value in CONTENT[entry].items():
            assert torch.equal(loaded[entry][key], value) and loaded[entry][key].dtype == value.dtype
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_safetensors_keys_are_plain_for_other_programs(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = save_checkpoint(CONTENT, tmp_path / "model.safetensors")
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == {"encoder.weight", "steps", "g_ema/conv.bias", "latent_avg"}


def test_mapped_file_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint(CONTENT, tmp_path / "model.pt")
    monkeypatch.setattr(checkpoints, "MMAP_FROM_BYTES", 1)
    assert torch.equal(load_checkpoint(path)["latent_avg"], CONTENT["latent_avg"])


def test_views_and_other_layouts_are_stored_alone(tmp_path: Path) -> None:
    whole = torch.randn(1000, 1000)
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    path = save_checkpoint({"state_dict": {"row": whole[3], "image": image}}, tmp_path / "model.pt")
    assert path.stat().st_size < 50_000
    loaded = load_checkpoint(path)["state_dict"]
    assert torch.equal(loaded["row"], whole[3]) and torch.equal(loaded["image"], image)


def test_same_content_gives_the_same_file(tmp_path: Path) -> None:
    first, second = (save_checkpoint(CONTENT, tmp_path / name) for name in ("a.pt", "b.pth"))
    assert first.read_bytes() == second.read_bytes()


def test_bare_state_dict_and_namespace(tmp_path: Path) -> None:
    bare = save_checkpoint({"body.0.weight": torch.zeros(1)}, tmp_path / "bare.pth")
    assert set(load_checkpoint(bare)) == {"state_dict"}
    torch.save({"g": {"w": torch.zeros(1)}, "args": argparse.Namespace(size=256)}, tmp_path / "gan.pt")
    assert load_checkpoint(tmp_path / "gan.pt")["args"] == {"size": 256}
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model"])
def test_stored_code_is_refused_and_not_run(tmp_path: Path, name: str, zipped: bool) -> None:
    path, trap = tmp_path / name, tmp_path / "trap"
    torch.save({"state_dict": {}, "opts": Malicious(trap)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=rf"{name} .*(is not opened|holds no networks)"):
        load_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pkl"])
def test_bare_pickle_of_code_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "trap"
    (tmp_path / name).write_bytes(pickle.dumps(Malicious(trap)))
    with pytest.raises(InputError, match=name):
        load_checkpoint(tmp_path / name)
    assert not trap.exists()


def refused(load: Callable[[], object], trap: Path) -> None:
    """Asserts that a way of loading raises an error and runs nothing."""
    with pytest.raises(InputError):
        load()
    assert not trap.exists()


def test_code_is_refused_on_every_way_in(tmp_path: Path) -> None:
    from criteria.lpips_loss import LPIPSLoss
    from models.aging_model import load_aging_model
    from models.auxiliary import load_age_classifier, load_identity
    from models.stylegan2.files import load_converted, load_trainable
    from training.run_folder import RunFolder

    trap, run = tmp_path / "trap", RunFolder(tmp_path / "run")
    run.create({})
    bad = tmp_path / "bad.pt"
    torch.save({"state_dict": {}, "networks": Malicious(trap), "optimizers": {}}, bad)
    for name in ("resume_state.pt", "resume_state_previous.pt"):
        (run.checkpoints / name).write_bytes(bad.read_bytes())
    readers = (load_checkpoint, load_converted, load_trainable)
    for load in (*readers, load_aging_model, load_age_classifier, load_identity):
        refused(lambda load=load: load(bad), trap)
    refused(lambda: LPIPSLoss(weights_file=bad), trap)
    refused(run.load_state, trap)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>Quota exceeded</html>", "web page"),
        (b"no weights here", "damaged or is not a checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_file(tmp_path: Path, suffix: str) -> None:
    path = save_checkpoint({"state_dict": {"w": torch.randn(1000)}}, tmp_path / f"model{suffix}")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=rf"model\{suffix} is damaged"):
        load_checkpoint(path)


def test_missing_file_folder_and_other_content(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(InputError, match="is a folder"):
        load_checkpoint(tmp_path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list"):
        load_checkpoint(tmp_path / "list.pt")


def test_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint(CONTENT, tmp_path / "model.pt")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(InputError, match="cannot write .*No space left"):
        save_checkpoint({"state_dict": {}}, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_written_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with written_atomically(tmp_path / "new" / "a.pt") as temporary:
        assert temporary.parent == tmp_path / "new" and temporary.name.startswith(".")
        assert temporary.suffix == ".pt"  # writers tell the format by it
        temporary.write_bytes(b"content")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.pt"]
    assert (tmp_path / "new" / "a.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with written_atomically(tmp_path / "a.txt") as first, written_atomically(tmp_path / "a.txt") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "first" and len(list(tmp_path.iterdir())) == 1


def test_json_has_no_nan(tmp_path: Path) -> None:
    path = write_json({"a": float("nan"), 3: [float("inf"), 1.5], "folder": tmp_path}, tmp_path / "a.json")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "a": None,
        "3": [None, 1.5],
        "folder": str(tmp_path),
    }


def test_options_that_safetensors_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use the suffix .pt"):
        save_checkpoint({"opts": {"path": tmp_path}}, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_paths_become_text(tmp_path: Path) -> None:
    path = save_checkpoint({"opts": {"exp_dir": tmp_path, "files": [tmp_path]}}, tmp_path / "model.pt")
    assert load_checkpoint(path)["opts"] == {"exp_dir": str(tmp_path), "files": [str(tmp_path)]}


def test_halved_keeps_vectors() -> None:
    dtypes = {key: value.dtype for key, value in checkpoints.halved(small().state_dict()).items()}
    assert dtypes["0.weight"] == torch.float16
    assert dtypes["1.running_var"] == torch.float32 and dtypes["1.num_batches_tracked"] == torch.int64


def test_subset() -> None:
    state = {"encoder.a": torch.zeros(1), "encoder.b.c": torch.ones(1), "decoder.a": torch.ones(1)}
    assert list(subset(state, "encoder.")) == ["a", "b.c"]


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["encoder.body.0.w", "blender.fc_0.0.weight", "pretrained_encoder.x"], "mytimemachine"),
        (["encoder.body.0.w", "pretrained_encoder.x"], "sam"),
        (["encoder.body.0.w", "decoder.x"], "psp"),
        (["conv1_1.weight", "fc6.weight"], "age_classifier"),
        (["input_layer.0.weight", "body.0.x", "output_layer.3.weight"], "identity"),
        (["to_rgb1.bias", "convs.0.conv.weight"], "stylegan2"),
        (["fc.weight"], "unknown"),
    ],
)
def test_kind_by_keys(keys: list[str], kind: str) -> None:
    assert checkpoint_kind({"state_dict": {key: torch.zeros(1) for key in keys}}) == kind


def test_kind_by_entry() -> None:
    assert checkpoint_kind({"kind": "judge_age", "state_dict": {}}) == "judge_age"
    assert checkpoint_kind({"step": 3, "networks": {"g": {}}, "optimizers": {}}) == "resume"
    assert checkpoint_kind({"g_ema": {}, "latent_avg": torch.zeros(1)}) == "stylegan2"


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_load_into_converts_and_forgives_counters() -> None:
    source, target = small(), small()
    state = {key: v.half() for key, v in source.state_dict().items() if "num_batches" not in key}
    load_into(target, state, "half.pt")
    torch.testing.assert_close(target[0].weight, source[0].weight, atol=1e-3, rtol=1e-3)
    assert target[0].weight.dtype == torch.float32


def test_load_into_names_the_first_differences() -> None:
    state = small().state_dict()
    missing = {key: value for key, value in state.items() if not key.startswith("1.")}
    with pytest.raises(InputError, match=r"a\.pt does not fit.*missing 1\.weight, 1\.bias.* and 1"):
        load_into(small(), missing, "a.pt")
    load_into(small(), missing, "a.pt", strict=False)
    with pytest.raises(InputError, match="unexpected extra"):
        load_into(small(), {**state, "extra": torch.zeros(1)}, "a.pt")
    with pytest.raises(InputError, match=r"another arch.*0\.weight is \[4, 3, 5, 5\] not \[4, 3, 3, 3\]"):
        load_into(small(), {**state, "0.weight": torch.zeros(4, 3, 5, 5)}, "a.pt", strict=False)
    with pytest.raises(InputError, match="its layers are those of an age classifier"):
        load_into(small(), {"conv1_1.weight": torch.zeros(1), "fc6.bias": torch.zeros(1)}, "dex.pth")


def of(*rows: tuple[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(shape) for key, shape in rows}


BODY = [(f"body.{unit}.w", (2,)) for unit in range(4)]


@pytest.mark.parametrize(
    ("own", "state", "cause"),
    [
        (
            of(("encoder.input_layer.0.weight", (8, 4, 3, 3))),
            of(("encoder.input_layer.0.weight", (8, 3, 3, 3))),
            "it has no age channel (3 input channels, the network has 4",
        ),
        (
            of(("input_layer.0.weight", (8, 3, 3, 3))),
            of(("input_layer.0.weight", (8, 4, 3, 3))),
            "it has an age channel, the network has none",
        ),
        (
            of(("noises.noise_0", (1, 1, 4, 4)), ("noises.noise_1", (1, 1, 8, 8))),
            of(("noises.noise_0", (1, 1, 4, 4))),
            "it makes images of 4 pixels, the network makes 8",
        ),
        (
            of(("styles.0.w", (1,)), ("styles.1.w", (1,))),
            of(("styles.0.w", (1,))),
            "it has codes of 1 styles, the network has 2",
        ),
        (
            of(("style.1.weight", (1,)), ("style.2.weight", (1,))),
            of(("style.1.weight", (1,))),
            "it has 1 mapping layers, the network has 2",
        ),
        (of(*BODY), of(*BODY[:3]), "it has 3 residual units, the network has 4"),
        (
            of(("fc6.bias", (4,)), ("fc8_101.bias", (101,))),
            of(("fc6.bias", (4,)), ("fc8_100.bias", (100,))),
            "it has 100 age classes, the network has 101",
        ),
        (of(("w", (1,))), of(("w", (1,)), ("embed.weight", (1,))), "one of the two is conditional"),
        (of(("w", (1,))), of(("w", (2,))), "the widths of its layers differ"),
        (of(("w", (1,)), ("v", (1,))), of(("w", (1,))), "some layers are missing or too many"),
        (
            of(("w", (1,))),
            of(("conv1_1.weight", (1,)), ("fc6.bias", (1,))),
            "its layers are those of an age classifier",
        ),
        (of(("w", (1,))), of(("x", (1,))), "its layers have other names"),
        (of(("w", (1,))), {}, "it is empty"),
    ],
)
def test_likely_cause(own: dict[str, torch.Tensor], state: dict[str, torch.Tensor], cause: str) -> None:
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    assert likely_cause(own, state, shapes).startswith(cause)


def test_skip_init_draws_nothing() -> None:
    before = torch.get_rng_state()
    with SkipInit():
        nn.Linear(30, 30)
    assert torch.equal(torch.get_rng_state(), before)
