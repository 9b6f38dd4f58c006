"""Folders of all sorts of files, and models without pictures: sound photos get results, others a line."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ROOT, run
from damage import damaged
from inference_toys import OUTPUT, files_below, make_photo, save_toy, toy
from PIL import Image

from utils.errors import InputError
from utils.pictures.reading import read_pixels

RUNS = int(os.environ.get("AGELAB_FUZZ_FOLDERS", "4"))  # folders a command; docs/reliability.md has more
pytestmark = pytest.mark.timeout(300 + 15 * RUNS)
SCRIPTS = ("inference", "inference_side_by_side", "style_mixing", "inference_lifespan")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("weights") / "sam.pt", toy())


def arguments(script: str, photos: Path, out: Path, checkpoint: Path) -> list[str]:
    if script == "inference_lifespan":
        files = [f"--img_dir={photos}", f"--output_dir={out}", f"--model_path={checkpoint}", "--desc=me"]
    else:
        files = [f"--data_path={photos}", f"--exp_dir={out}", f"--checkpoint_path={checkpoint}"]
        files += ["--latent_mask=5"] if script == "style_mixing" else []
    return [*files, "--target_age=70", "--test_workers=0"]


def strip(script: str, out: Path, name: str) -> Path:
    """One of the results of a photo."""
    below = {
        "inference": "inference_results/70",
        "inference_side_by_side": "inference_side_by_side",
        "style_mixing": "style_mixing/70",
        "inference_lifespan": "me",
    }
    return out / below[script] / name


def is_sound(path: Path) -> bool:
    try:
        read_pixels(path)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("seed", range(RUNS))
def test_damaged_pictures_among_sound_ones(
    checkpoint: Path, tmp_path: Path, script: str, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    photos, draws = tmp_path / "photos", random.Random(f"{seed} {script}")
    for number in range(3):
        make_photo(photos / f"sound_{number}.png", number)
    suffixes = ("png", "jpg", "webp", "tif", "gif", "bmp")
    for suffix in draws.sample(suffixes, 3):
        whole = make_photo(tmp_path / f"whole.{suffix}", 9).read_bytes()
        for number, (_, content) in enumerate(damaged(whole, 3, draws.randrange(10**6))):
            (photos / f"{suffix}_{number}.{suffix}").write_bytes(content)
    (photos / "pipe.png").mkdir()
    (photos / "empty.jpg").touch()
    expected = {path for path in photos.iterdir() if path.is_file() and is_sound(path)}
    result = run(script, *arguments(script, photos, tmp_path / "out", checkpoint))
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    bad = {path for path in photos.iterdir() if path.is_file()} - expected
    assert f"{len(expected)} photos aged, {len(bad)} unreadable skipped" in result.stdout
    for path in bad:
        assert result.stderr.count(f"skipped: cannot read {path}") == 1
    for path in expected:
        name = path.name if path.suffix != ".gif" else f"{path.name}.png"
        assert strip(script, tmp_path / "out", name).is_file()
    assert capfd.readouterr().err == "", "a library printed something"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_without_pictures_leaves_nothing(tmp_path: Path, script: str, value: float) -> None:
    network = toy()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "to_rgb" in name and name.endswith("bias"):
                weight.fill_(value)
    broken = tmp_path / "broken.pt"
    torch.save(torch.load(save_toy(tmp_path / "sound.pt", network), weights_only=True), broken)
    make_photo(tmp_path / "photos" / "a.png")
    result = run(script, *arguments(script, tmp_path / "photos", tmp_path / "out", broken))
    assert result.returncode == 2 and str(broken) in result.stderr.splitlines()[-1], result.stderr
    assert "photos aged" not in result.stdout and not files_below(tmp_path / "out")


def test_squashed_photos_are_counted_and_named_once(checkpoint: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name, size in (("wide.png", (90, 60)), ("high.jpg", (50, 90)), ("nearly.png", (80, 78))):
        photos.mkdir(exist_ok=True)
        Image.new("RGB", size, "green").save(photos / name)
    make_photo(photos / "square.png")
    result = run("inference", *arguments("inference", photos, tmp_path / "out", checkpoint))
    assert result.returncode == 0 and result.stderr.count("--align") == 1
    (line,) = [line for line in result.stderr.splitlines() if "--align" in line]
    assert line.startswith("note: 2 photos are not square") and "wide.png" in line and "high.jpg" in line
    assert Image.open(tmp_path / "out" / "inference_results" / "70" / "wide.png").size == (OUTPUT, OUTPUT)
    for path in photos.glob("[wh]*"):
        path.unlink()
    result = run("inference", *arguments("inference", photos, tmp_path / "again", checkpoint))
    assert result.returncode == 0 and "--align" not in result.stderr


@pytest.mark.parametrize(
    ("script", "flag"), [("inference", "--checkpoint_path"), ("inference_lifespan", "--model_path")]
)
def test_messages_begin_with_the_flag_that_was_meant(
    checkpoint: Path, tmp_path: Path, script: str, flag: str
) -> None:
    photos = make_photo(tmp_path / "photos" / "a.png").parent
    good = arguments(script, photos, tmp_path / "out", checkpoint)
    missing = tmp_path / "no.pt"
    for given in (flag, "--global_checkpoint"):
        result = run(script, *good, f"{given}={missing}")
        assert result.returncode == 2 and result.stderr.splitlines()[-1].startswith(f"error: {given}: ")
    folder = "--img_dir" if script == "inference_lifespan" else "--data_path"
    result = run(script, *good, f"{folder}={tmp_path / 'nowhere'}")
    assert result.stderr.splitlines()[-1].startswith(f"error: {folder}: no such folder")


def test_a_group_photo_of_many_modes_is_aged_in_place(checkpoint: Path, tmp_path: Path) -> None:
    """The whole way of a photo through the command: what it was, it is, outside the face."""
    person = sorted((ROOT / "assets" / "demo_person" / "held_out").glob("*.png"))[2]
    face = Image.open(person).convert("RGB").resize((260, 260), Image.Resampling.LANCZOS)
    photo = Image.effect_noise((480, 400), 60).convert("RGB")
    photo.paste(face, (90, 60))
    photos = tmp_path / "photos"
    photos.mkdir()
    opacity = Image.new("L", photo.size, 200)
    photo.save(photos / "lossless.webp", lossless=True)
    photo.convert("L").save(photos / "grey.png")
    photo.quantize(256).save(photos / "few.gif")
    Image.merge("RGBA", (*photo.split(), opacity)).save(photos / "clear.png")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(photos / "deep.tif")
    result = run("inference", *arguments("inference", photos, tmp_path / "out", checkpoint), "--align")
    assert result.returncode == 0 and "5 photos aged" in result.stdout, result.stderr
    for path in photos.iterdir():
        found = strip("inference", tmp_path / "out", path.name + (".png" if path.suffix == ".gif" else ""))
        with Image.open(path) as a, Image.open(found) as b:
            assert (a.mode == b.mode or path.suffix == ".gif") and a.size == b.size
            before, after = (
                np.asarray(i if path.suffix != ".gif" else i.convert("RGB")).astype(int) for i in (a, b)
            )
        assert (before[:50] == after[:50]).all() and (before[340:] == after[340:]).all()
        assert (before[100:250, 150:300] != after[100:250, 150:300]).any()
