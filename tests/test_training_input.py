"""What a training cannot use ends in one sentence; and the parts around the loop: batches, files, device."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import training_toys as toys
from commands import ROOT

from configs.paths_config import model_paths
from datasets.faces import FaceFolder
from training import coach_identity, needed_files, run_folder
from training.batches import BatchSource
from training.coach_identity import ArcFaceHead, distillation_losses, dlib_descriptors
from training.feature_cache import FeatureCache
from training.needed_files import NeededFile
from utils import device as devices
from utils.errors import InputError
from utils.faces.descriptor import DESCRIPTOR_LENGTH, FaceDescriptor


def refusal(coach: str, files: SimpleNamespace, exp_dir: Path, *more: str) -> str:
    """The sentence with which a training is refused; nothing may have been written."""
    with pytest.raises(InputError) as caught:
        toys.train(toys.arguments(coach, files, exp_dir, "--max_steps=2", *more))
    assert not exp_dir.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- wrong files

WRONG_FILES = [
    ("psp", "--stylegan_weights={psp}", "is a pSp checkpoint without an ageing encoder, not a StyleGAN2"),
    ("psp", "--stylegan_weights={age_classifier}", "is an age classifier, not a StyleGAN2 checkpoint"),
    ("psp", "--age_classifier={identity}", "is a face recognition network, not an age classifier"),
    ("psp", "--identity_network={age_classifier}", "is an age classifier, not a face recognition network"),
    (
        "psp",
        "--checkpoint_path={mytimemachine}",
        "is a MyTimeMachine checkpoint, not the checkpoint of a pSp",
    ),
    ("psp", "--checkpoint_path={stylegan2}", "is a StyleGAN2 checkpoint, not the checkpoint of a pSp"),
    ("psp", "--grow_from={identity}", "is a face recognition network, not the checkpoint of a pSp"),
    (
        "psp",
        "--checkpoint_path={resume}",
        "is the resume state of a training, not its weights, not the checkpoint of a pSp",
    ),
    ("sam", "--pretrained_psp_path={stylegan2}", "is a StyleGAN2 checkpoint, not the checkpoint of a pSp"),
    ("sam", "--checkpoint_path={psp}", "is a pSp checkpoint without an ageing encoder, not one of SAM"),
    ("sam", "--checkpoint_path={mytimemachine}", "is a MyTimeMachine checkpoint, not one of SAM"),
    ("sam", "--checkpoint_path={identity}", "is a face recognition network, not one of SAM"),
    ("sam", "--style_channels=4", "the widths of its layers differ"),
    (
        "sam",
        "--encoder_start=face_network --identity_network={stylegan2}",
        "has no layers of IR-SE50, from which the encoder starts",
    ),
    ("mytimemachine", "--checkpoint_path={psp}", "without an ageing encoder, not one of SAM"),
    ("mytimemachine", "--checkpoint_path={stylegan2}", "is a StyleGAN2 checkpoint, not one of SAM"),
    ("mytimemachine", "--checkpoint_path={resume}", "is the resume state of a training"),
    ("stylegan2", "--checkpoint_path={psp}", "has no generator; training goes on from a file of --coach=sty"),
    ("stylegan2", "--checkpoint_path={stylegan2} --style_dim=20 --channels=4:5,8:5,16:5", "no layer of"),
    ("stylegan2", "--grow_from={stylegan2}", "is not half the size of the new network"),
    ("stylegan2", "--grow_from={sam}", "has no generator"),
]


@pytest.mark.parametrize(("coach", "more", "message"), WRONG_FILES, ids=lambda item: item[:60])
def test_wrong_checkpoint(
    coach: str, more: str, message: str, files: SimpleNamespace, tmp_path: Path
) -> None:
    assert message in refusal(coach, files, tmp_path / "run", *more.format(**vars(files)).split())


def test_damaged_checkpoint(files: SimpleNamespace, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt"
    cut.write_bytes(Path(files.sam).read_bytes()[:5000])
    message = refusal("mytimemachine", files, tmp_path / "run", f"--checkpoint_path={cut}")
    assert f"{cut} is damaged or is not a checkpoint" in message


@pytest.mark.parametrize("coach", ["psp", "sam", "mytimemachine"])
def test_every_missing_file_is_named_at_once(coach: str, files: SimpleNamespace, tmp_path: Path) -> None:
    flags = {
        "psp": ["stylegan_weights"],
        "sam": ["stylegan_weights", "pretrained_psp_path"],
        "mytimemachine": ["checkpoint_path"],
    }[coach]
    flags += ["age_classifier", "identity_network", "train_dataset", "test_dataset"]
    more = [f"--{flag}={tmp_path / flag}" for flag in flags]
    message = refusal(coach, files, tmp_path / "run", *more)
    assert message.startswith("not found: ")
    assert [flag for flag in flags if f"(--{flag}={tmp_path / flag})" in message] == flags


def test_sam_without_the_official_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official command in a fresh checkout: what is missing, and where to get it."""
    monkeypatch.setattr(needed_files.Path, "exists", lambda self: False)
    command = "--l2_lambda=1 --id_lambda=0.1 --aging_lambda=5 --start_from_encoded_w_plus"
    with pytest.raises(InputError) as caught:
        toys.train([f"--exp_dir={tmp_path / 'run'}", "--device=cpu", *command.split()])
    names = ("stylegan_ffhq", "pretrained_psp", "age_predictor", "ir_se50")
    assert all(model_paths[name] in str(caught.value) for name in names)
    assert "(--train_dataset=" in str(caught.value)
    fetched = str(caught.value).partition("; python scripts/download_weights.py ")[2]
    assert sorted(fetched.removesuffix(" brings them").split()) == sorted(names)


def test_only_the_files_in_use_are_needed(files: SimpleNamespace, tmp_path: Path) -> None:
    more = ("--id_lambda=0", "--lpips_lambda=0", "--identity_network=no", "--age_classifier=no")
    toys.train(toys.arguments("psp", files, tmp_path, *more, "--max_steps=1"))
    needed_files.require_files([NeededFile("a file", "--flag", str(tmp_path))])


# ---------------------------------------------------------------- wrong photos


def folder_of(tmp_path: Path, *ages: float) -> Path:
    return toys.make_faces(tmp_path / "photos", ages)


def test_one_photo_is_too_few(files: SimpleNamespace, tmp_path: Path) -> None:
    photos = folder_of(tmp_path, 30)
    message = refusal("mytimemachine", files, tmp_path / "run", f"--train_dataset={photos}")
    assert f"{photos} holds one photo only; personalisation needs several" in message


@pytest.mark.parametrize("recipe", ["corrected", "official"])
def test_one_age_is_too_few(recipe: str, files: SimpleNamespace, tmp_path: Path) -> None:
    more = (f"--train_dataset={folder_of(tmp_path, 30, 30, 30)}", f"--recipe={recipe}")
    message = refusal("mytimemachine", files, tmp_path / "run", *more)
    assert "have age 30; personalisation learns how a person changes" in message


def test_photos_without_ages(files: SimpleNamespace, tmp_path: Path) -> None:
    photos = folder_of(tmp_path, 30, 40, 50)
    for path in list(photos.iterdir()):
        path.rename(photos / f"me_{path.name}")
    for coach in ("mytimemachine", "age_classifier"):
        message = refusal(coach, files, tmp_path / "run", f"--train_dataset={photos}")
        assert "3 of 3 pictures" in message and "no age in the file name" in message
    toys.train(toys.arguments("psp", files, tmp_path / "psp", f"--train_dataset={photos}", "--max_steps=1"))


def test_few_bad_files_are_named_and_skipped(
    files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = folder_of(tmp_path, *range(20, 31))
    (photos / "40_0.png").write_bytes(b"no picture")
    toys.train(toys.arguments("psp", files, tmp_path / "run", f"--train_dataset={photos}", "--max_steps=1"))
    errors = capsys.readouterr().err
    assert f"skipped: cannot read {photos / '40_0.png'}" in errors and "1 of 12 pictures in" in errors
    (photos / "41_0.png").write_bytes(b"no picture")
    for coach in ("stylegan2", "mytimemachine", "sam"):
        message = refusal(coach, files, tmp_path / "more", f"--train_dataset={photos}")
        assert "2 of 13 pictures" in message and "more than a tenth" in message


def test_no_pictures(files: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for coach in ("stylegan2", "identity", "mytimemachine"):
        message = refusal(coach, files, tmp_path / "run", f"--train_dataset={tmp_path / 'empty'}")
        assert "no pictures in" in message or "has no folders of people" in message
    message = refusal("stylegan2", files, tmp_path / "run", f"--train_dataset={tmp_path / 'none'}")
    assert f"no such folder: {tmp_path / 'none'}" in message
    message = refusal("age_classifier", files, tmp_path / "run", "--data_share=0-0.001")
    assert "none of the pictures in" in message and "share" in message


def test_run_folder_that_cannot_be_made(files: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--exp_dir=.*run cannot be created \(Not a directory\)"):
        toys.train(toys.arguments("psp", files, tmp_path / "file" / "run", "--max_steps=1"))


def test_wrong_input_is_one_sentence_and_code_2(files: SimpleNamespace, tmp_path: Path) -> None:
    arguments = toys.arguments("sam", files, tmp_path / "run", "--pretrained_psp_path=none.pt")
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert result.returncode == 2
    assert result.stderr == "error: not found: the pSp prior (--pretrained_psp_path=none.pt)\n"


# ---------------------------------------------------------------- batches and features


def test_batches_are_a_function_of_the_step(files: SimpleNamespace) -> None:
    whole = BatchSource(FaceFolder(files.faces, 16), 3, seed=5)
    batches = [whole.next() for _ in range(5)]
    resumed = BatchSource(FaceFolder(files.faces, 16), 3, seed=5, start_step=3)
    through_loader = BatchSource(FaceFolder(files.faces, 16, cache=False), 3, seed=5, start_step=3)
    assert not torch.equal(batches[3]["index"], batches[4]["index"])
    for expected in batches[3:]:
        for source in (resumed, through_loader):
            batch = source.next()
            assert batch.keys() == expected.keys()
            for name, value in expected.items():
                torch.testing.assert_close(batch[name], value, rtol=0, atol=0)


def test_features_of_a_photo_and_its_flip_are_computed_once(files: SimpleNamespace) -> None:
    data = FaceFolder(files.faces, 16)
    seen: list[int] = []

    def compute(images: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(len(images))
        return {"mean": images.mean((1, 2, 3)), "whole": images.flatten(1)}

    cache = FeatureCache(compute, len(data))
    for items in ([(0, False), (1, False)], [(1, False), (1, True), (2, True)], [(1, True), (0, False)]):
        batch = data.batch(items)
        features = cache(batch)
        torch.testing.assert_close(features["mean"], batch["image"].mean((1, 2, 3)))
        torch.testing.assert_close(features["whole"], batch["image"].flatten(1))
    assert seen == ([1, 1, 1, 1])


def test_features_computed_together_do_not_depend_on_company(
    files: SimpleNamespace,
) -> None:
    data = FaceFolder(files.faces, 16)
    calls: list[int] = []

    def compute(images: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(len(images))
        return {"mean": images.mean((1, 2, 3))}

    orders = ([[0, 1, 2], [3, 4, 5, 6, 7]], [[7, 2], [1, 5, 0], [6, 4, 3]])
    caches = [FeatureCache(compute, len(data), together=4) for _ in orders]
    for cache, batches in zip(caches, orders, strict=True):
        for items in batches:
            cache(data.batch(items))
    whole = data.batch(range(8))
    one, other = (cache(whole)["mean"] for cache in caches)
    assert torch.equal(one, other) and set(calls) == {4}

    def mixing(images: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(len(images))
        return {"mean": images.mean((1, 2, 3)) + 1e-3 * images.mean()}

    calls.clear()
    features = FeatureCache(mixing, len(data), together=4)(whole)["mean"]
    assert calls[-8:] == 8 * [1]  # kernels that are not indifferent see one picture at a time
    torch.testing.assert_close(features, 1.001 * one)


def test_a_thread_that_is_ahead_gives_the_same_batches(files: SimpleNamespace) -> None:
    for cache in (True, False):
        plain, ahead = (
            BatchSource(FaceFolder(files.faces, 16, cache=cache), 3, seed=5, ahead=ahead)
            for ahead in (False, True)
        )
        for _ in range(5):
            expected, batch = plain.next(), ahead.next()
            assert all(torch.equal(batch[name], value) for name, value in expected.items())
            assert ahead.newest_files() == plain.newest_files()
        assert 0 < plain.share_waited() <= 1 and 0 < ahead.share_waited() <= 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_gpu_are_those_on_a_cpu(files: SimpleNamespace) -> None:
    device = torch.device("cuda")
    for cache in (True, False):
        plain, sent = (
            BatchSource(FaceFolder(files.faces, 16, cache=cache), 3, seed=5, device=where)
            for where in (None, device)
        )
        for _ in range(6):
            expected, batch = plain.next(), sent.next()
            torch.zeros(1 << 22, device=device).sin_()  # memory that is asked for meanwhile
            assert all(torch.equal(batch[name].cpu(), value) for name, value in expected.items())


# ---------------------------------------------------------------- run folder


def test_versions_are_recorded_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = run_folder.RunFolder(tmp_path / "run")
    run.create({"b": 1, "a": None})
    options = json.loads((run.path / "opt.json").read_text(encoding="utf-8"))
    assert options["environment"]["git"] == "unknown"
    assert options["environment"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert (options["a"], options["b"]) == (None, 1)


def test_another_file_is_no_resume_state(files: SimpleNamespace, tmp_path: Path) -> None:
    run = run_folder.RunFolder(tmp_path)
    assert run.load_state() is None
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "resume_state.pt").write_bytes(Path(files.sam).read_bytes())
    with pytest.raises(InputError, match="no resume state in .* can be read"):
        run.load_state()


# ---------------------------------------------------------------- device


def test_device_and_precision() -> None:
    cpu = torch.device("cpu")
    assert devices.select_device("cpu") == cpu
    assert devices.select_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(InputError, match="--device=fridge is not a device; use auto"):
        devices.select_device("fridge")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--device=cuda: this machine has no cuda device"):
            devices.select_device("cuda")
    assert devices.select_precision("no", cpu) == torch.float32
    assert devices.select_precision("bf16", cpu) == torch.bfloat16
    fast = devices.cpu_computes_bfloat16()
    assert devices.select_precision("auto", cpu) == (torch.bfloat16 if fast else torch.float32)
    with devices.autocast(cpu, torch.float32):
        assert not torch.is_autocast_enabled("cpu")
    with devices.autocast(cpu, torch.bfloat16):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


# ---------------------------------------------------------------- the teacher of the identity network


def test_arcface_in_closed_form() -> None:
    head = ArcFaceHead(2, 2, scale=2.0, margin=0.3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    angle = 0.4
    with torch.no_grad():
        loss = head(torch.tensor([[math.cos(angle), math.sin(angle)]]), torch.tensor([0]))
    logits = 2 * math.cos(angle + 0.3), 2 * math.sin(angle)
    assert float(loss) == pytest.approx(math.log(sum(math.exp(v) for v in logits)) - logits[0], abs=1e-5)
    with torch.no_grad():
        beyond = head(torch.tensor([[-1.0, 0.0]]), torch.tensor([0]))  # angle + margin above pi
    assert torch.isfinite(beyond) and beyond > loss


def test_distillation_losses_by_value() -> None:
    targets = torch.eye(2)
    assert [float(term) for term in distillation_losses(targets, targets)] == [0.0, 0.0]
    distance, relation = distillation_losses(targets.flip(0), targets)
    assert (float(distance), float(relation)) == (1.0, 0.0)
    distance, relation = distillation_losses(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), targets)
    assert (float(distance), float(relation)) == (0.5, 0.5)


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_dlib_teacher(files: SimpleNamespace, tmp_path: Path, cache_home: Path) -> None:
    """Descriptors of the real dlib, and a student that learns from them."""
    photos = toys.make_faces(tmp_path / "photos", (20, 30, 40, 50), size=96)
    folders = (f"--train_dataset={photos}", f"--test_dataset={photos}", "--teacher=auto")
    toys.train(toys.arguments("identity", files, tmp_path / "run", *folders, "--max_steps=3"))
    row = json.loads(
        (tmp_path / "run" / "logs" / "validation.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    )
    assert {"validation_loss", "similarity_to_teacher", "pair_correlation"} < row.keys()
    data = FaceFolder(photos, 96)
    with pytest.MonkeyPatch.context() as patch:  # everything is in the cache
        patch.setattr(coach_identity, "FaceDescriptor", None)
        described = dlib_descriptors(data)
    assert described.shape == (4, DESCRIPTOR_LENGTH) and torch.isfinite(described).all()
    distances = torch.cdist(described, described)
    assert distances.max() < 0.6  # dlib's own limit for the same person


def test_damaged_descriptor_cache_is_made_again(
    files: SimpleNamespace, cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FaceFolder(files.test, 32)
    fake = lambda: lambda pixels: np.full(DESCRIPTOR_LENGTH, pixels.mean(), np.float32)  # noqa: E731
    monkeypatch.setattr(coach_identity, "FaceDescriptor", fake)
    first = dlib_descriptors(data)
    cache = cache_home / "agelab" / "dlib_descriptors.safetensors"
    cache.write_bytes(b"damaged")
    torch.testing.assert_close(dlib_descriptors(data), first)
    assert cache.stat().st_size > 1000


def test_dlib_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match="the face descriptor needs dlib; run: pip install dlib-bin"):
        FaceDescriptor()
