"""Every command with damaged weights, lists and presets: a sentence names the file, nothing is written."""

import os
from pathlib import Path

import pytest
from commands import ROOT, run
from damage import damaged
from damaged_checkpoints import same
from inference_toys import files_below, make_photo

from configs.paths_config import model_paths
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

COUNT = int(os.environ.get("AGELAB_FUZZ_FILES", "3"))  # damaged files a command; docs/reliability.md has more
pytestmark = pytest.mark.timeout(300 + 15 * COUNT)
PHOTOS, OUT = "--data_path={photos}", "--exp_dir={out}"
MYTIMEMACHINE = f"@{ROOT}/configs/demo/mytimemachine.args"
DATA = "--train_dataset={photos}"
# Script, arguments, and the sound file whose damaged copies it reads.
WEIGHTS = {
    "inference": (["--checkpoint_path={file}", PHOTOS, OUT], "demo_sam"),
    "inference_side_by_side": (["--checkpoint_path={file}", PHOTOS, OUT], "demo_sam"),
    "style_mixing": (
        ["--checkpoint_path={file}", PHOTOS, OUT, "--latent_mask=5", "--target_age=70"],
        "demo_sam",
    ),
    "reference_guided_inference": (
        ["--checkpoint_path={file}", PHOTOS, OUT, "--ref_images_paths_file={list}", "--latent_mask=5"],
        "demo_sam",
    ),
    "inference_lifespan": (["--model_path={file}", "--img_dir={photos}", "--output_dir={out}"], "demo_sam"),
    "helper": (["--model_path={file}", "--img_dir={photos}", "--output_dir={out}"], "demo_sam"),
    "evaluate": (["--checkpoint_path={file}", PHOTOS, OUT], "demo_sam"),
    "evaluate with a judge": (["--judge_age={file}", PHOTOS, OUT], "demo_judge_age"),
    "convert_weights": (["{file}", "{out}/converted.safetensors"], "demo_stylegan2"),
    "make_demo_person": (["--stylegan_weights={file}", "--output_dir={out}"], "demo_stylegan2"),
    "train MyTimeMachine": ([MYTIMEMACHINE, "--checkpoint_path={file}", DATA, OUT], "demo_sam"),
    "train with identity": ([MYTIMEMACHINE, "--identity_network={file}", DATA, OUT], "demo_identity"),
    "train with ages": ([MYTIMEMACHINE, "--age_classifier={file}", DATA, OUT], "demo_age_classifier"),
}


def places(tmp_path: Path, file: Path) -> dict[str, str]:
    for age in (20, 40, 60):
        make_photo(tmp_path / "photos" / f"{age}_0.png", age)
    (tmp_path / "list.txt").write_text(str(tmp_path / "photos" / "20_0.png"))
    names = {"photos": tmp_path / "photos", "out": tmp_path / "out", "list": tmp_path / "list.txt"}
    return {name: str(path) for name, path in {**names, "file": file}.items()}


def refused(tmp_path: Path, command: str, words: list[str], file: Path, what: str) -> None:
    """Asserts that the command ends with one sentence about the file and leaves nothing."""
    filled = [word.format(**places(tmp_path, file)) for word in words]
    before = files_below(tmp_path)
    result = run(command.split()[0], *filled)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2 and "Traceback" not in result.stderr, (what, result.stderr)
    assert len(errors) == 1 and str(file) in errors[0], (what, result.stderr)
    assert not {name for name in files_below(tmp_path) - before if not name.endswith("run.lock")}, what


def says_the_same(file: Path, sound: str) -> bool:
    """Whether the damage met only what nobody reads, such as the time of an entry of the archive."""
    try:
        return same(load_checkpoint(sound), load_checkpoint(file))
    except InputError:
        return False


@pytest.mark.parametrize("command", WEIGHTS)
def test_damaged_weights_in_every_command(command: str, tmp_path: Path) -> None:
    words, name = WEIGHTS[command]
    data = Path(model_paths[name]).read_bytes()
    for number, (what, content) in enumerate(damaged(data, COUNT, seed=sum(map(ord, command)))):
        file = tmp_path / f"damaged_{number}.pt"
        file.write_bytes(content)
        if not says_the_same(file, model_paths[name]):
            refused(tmp_path, command, words, file, what)


@pytest.mark.parametrize("content", [b"", b"\0\1\2\3", b"none.png\n", b"\xff\xfe\0"])
def test_lists_and_presets_that_are_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "list_or_preset"
    file.write_bytes(content)
    words = [f"--checkpoint_path={model_paths['demo_sam']}", PHOTOS, OUT, "--latent_mask=5"]
    refused(
        tmp_path, "reference_guided_inference", [*words, "--ref_images_paths_file={file}"], file, str(content)
    )
    if content not in (b"", b"none.png\n"):
        refused(tmp_path, "train", ["@{file}", DATA, OUT], file, str(content))
