"""The inference commands, run for real on a toy network: files, ages, official layout, bad input."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run, run_command_line
from inference_toys import INPUT, OUTPUT, files_below, make_photo, pixels, save_toy, toy
from PIL import Image
from toy_networks import stylegan2_checkpoint

from datasets.photos import Photos, result_names, result_stems
from utils.files.checkpoints import save_checkpoint
from utils.parallel import worker_count


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("weights") / "sam.pt", toy())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make_photo(folder / "20_0.png", 0)
    make_photo(folder / "30_1.JPG", 1)
    make_photo(folder / "deeper" / "40_2.png", 2)
    return folder


# ---------------------------------------------------------------- results


def test_inference_writes_what_the_official_script_writes(
    checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(
        "inference",
        f"--exp_dir={out}",
        f"--checkpoint_path={checkpoint}",
        f"--data_path={photos}",
        "--test_batch_size=2",
        "--test_workers=0",
        "--target_age=0,62.5,uniform_random",
    )
    assert result.returncode == 0, result.stderr
    names = {"20_0.png", "30_1.JPG", "40_2.png"}
    ages = {"0", "62.5", "uniform_random"}
    expected = {f"inference_results/{age}/{name}" for age in ages for name in names}
    expected |= {f"inference_coupled/{age}/20_0.png" for age in ages} | {"stats.txt"}
    assert files_below(out) == expected
    assert Image.open(out / "inference_results/0/20_0.png").size == (OUTPUT, OUTPUT)
    assert Image.open(out / "inference_coupled/0/20_0.png").size == (2 * OUTPUT, OUTPUT)
    assert (out / "stats.txt").read_text(encoding="utf-8").startswith("Runtime ")
    assert "3 photos aged" in result.stdout
    different = pixels(out / "inference_results/0/20_0.png") - pixels(out / "inference_results/62.5/20_0.png")
    assert abs(different).max() > 0, "the age changes nothing"


def test_batches_do_not_change_results(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    common = [f"--checkpoint_path={checkpoint}", f"--data_path={photos}", "--target_age=5,80", "--device=cpu"]
    for size, workers in ((1, 0), (3, 0)):
        arguments = [*common, f"--test_batch_size={size}", f"--test_workers={workers}"]
        assert run("inference", f"--exp_dir={tmp_path / str(size)}", *arguments).returncode == 0
    for name in ("20_0.png", "40_2.png"):
        one, three = (pixels(tmp_path / side / "inference_results/80" / name) for side in ("1", "3"))
        assert abs(one - three).max() <= 1


def test_couple_resize_and_limit(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(
        "inference",
        f"--exp_dir={out}",
        f"--checkpoint_path={checkpoint}",
        f"--data_path={photos}",
        "--couple_outputs",
        "--resize_outputs",
        "--n_images=2",
        "--target_age=50",
        "--latent_mask=8,9",
    )
    assert result.returncode == 0, result.stderr
    assert files_below(out / "inference_coupled") == {"50/20_0.png", "50/30_1.JPG"}
    assert Image.open(out / "inference_results/50/20_0.png").size == (INPUT, INPUT)
    assert Image.open(out / "inference_coupled/50/20_0.png").size == (2 * INPUT, INPUT)
    assert "--latent_mask has no effect" in result.stderr
    left = pixels(out / "inference_coupled/50/20_0.png")[:, :INPUT]
    photo = Image.open(photos / "20_0.png").resize((INPUT, INPUT), Image.Resampling.BILINEAR)
    assert abs(left - np.asarray(photo).astype(int)).max() <= 1


def test_side_by_side_equals_the_single_results(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    common = [f"--exp_dir={tmp_path}", f"--checkpoint_path={checkpoint}", f"--data_path={photos}"]
    for script in ("inference", "inference_side_by_side"):
        result = run(script, *common, "--target_age=10,70", "--test_workers=0")
        assert result.returncode == 0, result.stderr
    assert files_below(tmp_path / "inference_side_by_side") == {"20_0.png", "30_1.JPG", "40_2.png"}
    strip = pixels(tmp_path / "inference_side_by_side/40_2.png")
    assert strip.shape == (OUTPUT, 3 * OUTPUT, 3)
    single = pixels(tmp_path / "inference_results/70/40_2.png")
    assert abs(strip[:, 2 * OUTPUT :] - single).max() <= 1


def test_results_depend_on_the_seed_only_where_an_age_is_drawn(
    checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    common = [
        f"--checkpoint_path={checkpoint}",
        f"--data_path={photos}",
        "--target_age=uniform_random",
        "--test_workers=0",
    ]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("inference", f"--exp_dir={tmp_path / name}", *common, f"--seed={seed}").returncode == 0
    a, b, c = (pixels(tmp_path / n / "inference_results/uniform_random/20_0.png") for n in "abc")
    assert (a == b).all() and (a != c).any()


def test_same_names_in_two_folders_do_not_overwrite_each_other() -> None:
    root = Path("photos")
    paths = [root / "a" / "1.png", root / "b" / "1.png", root / "b" / "2.png"]
    assert result_names(paths, root) == [Path("a/1.png"), Path("b/1.png"), Path("2.png")]


def test_results_of_a_format_that_is_only_read_are_jpeg() -> None:
    root = Path("photos")
    paths = [root / "1.HEIC", root / "1.jpg", root / "a" / "2.heic", root / "b" / "2.heic"]
    wanted = ["1.HEIC.jpg", "1.jpg", "a/2.heic.jpg", "b/2.heic.jpg"]
    assert result_names(paths, root) == [Path(name) for name in wanted]


def test_a_single_picture_is_a_folder_of_one(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "me.png")
    (batch,) = Photos(photo, INPUT).batches(4)
    assert batch.images.shape == (1, 3, INPUT, INPUT) and batch.names == [Path("me.png")]


@pytest.mark.filterwarnings("error")
def test_more_workers_than_cores_are_not_started(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        make_photo(tmp_path / name)
    many = (os.cpu_count() or 1) + 8
    assert worker_count(many) < many and worker_count(0) == 0
    batches = list(Photos(tmp_path, INPUT).batches(1, workers=many))
    assert [batch.names for batch in batches] == [[Path("1.png")], [Path("2.png")]]


def test_stems_of_other_formats() -> None:
    names = [Path("41.5_0.png"), Path("41.5_1.png"), Path("7.jpg"), Path("7.png")]
    expected = [Path("41.5_0"), Path("41.5_1"), Path("7_jpg"), Path("7_png")]
    assert result_stems(names) == expected
    assert result_stems(names, official=True) == expected, "the official stems, 41 and 7, would collide"
    assert result_stems([Path("41.5_0.png"), Path("a/b.c.png")], official=True) == [Path("41"), Path("a/b")]
    assert result_stems([Path("41.5_0.png")]) == [Path("41.5_0")]


# ---------------------------------------------------------------- bad input


def bad_inputs(folder: Path, checkpoint: Path) -> dict[str, tuple[list[str], str]]:
    """Returns for each kind of bad input the arguments and a part of the sentence."""
    good = make_photo(folder / "good" / "1.png").parent
    empty = folder / "empty"
    empty.mkdir()
    torn = folder / "torn"
    make_photo(torn / "1.jpg", size=300)
    (torn / "1.jpg").write_bytes((torn / "1.jpg").read_bytes()[:2000])
    text = folder / "text.pt"
    text.write_text("this is no checkpoint")
    cut = folder / "cut.pt"
    cut.write_bytes(checkpoint.read_bytes()[:5000])
    other_kind = save_checkpoint(stylegan2_checkpoint(), folder / "stylegan2.pt")
    content = torch.load(checkpoint, weights_only=True)
    content["opts"]["architecture"]["generator"]["size"] = 64
    content["opts"]["architecture"]["generator"]["channels"] = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}
    other_size = save_checkpoint(content, folder / "other_size.pt")
    data, weights = f"--data_path={good}", f"--checkpoint_path={checkpoint}"
    return {
        "no such folder": ([f"--data_path={folder / 'nowhere'}", weights], "no such folder"),
        "empty folder": ([f"--data_path={empty}", weights], "no pictures in"),
        "a file that is no picture": ([f"--data_path={text}", weights], "not one of the 1 pictures"),
        "only a truncated picture": ([f"--data_path={torn}", weights], "not one of the 1 pictures"),
        "no such checkpoint": ([data, f"--checkpoint_path={folder / 'no.pt'}"], "no such checkpoint"),
        "no checkpoint": ([data, f"--checkpoint_path={text}"], "text.pt"),
        "damaged checkpoint": ([data, f"--checkpoint_path={cut}"], "cut.pt"),
        "another kind": ([data, f"--checkpoint_path={other_kind}"], "StyleGAN2"),
        "another size": ([data, f"--checkpoint_path={other_size}"], "other_size.pt"),
        "no such device": ([data, weights, "--device=abacus"], "--device=abacus"),
        "age": ([data, weights, "--target_age=130"], "130 is outside"),
    }


def test_bad_input_is_one_sentence_and_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    for name, (arguments, sentence) in bad_inputs(tmp_path, checkpoint).items():
        out = tmp_path / f"out of {name}"
        result = run("inference", f"--exp_dir={out}", "--test_workers=0", *arguments)
        last = result.stderr.strip().splitlines()[-1]
        assert result.returncode == 2, name
        assert last.startswith("error: ") and sentence in last, f"{name}: {result.stderr}"
        assert "Traceback" not in result.stderr
        assert not out.exists(), f"{name}: something was written"


def test_bad_files_in_a_folder_are_named_skipped_and_counted(
    checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    make_photo(photos / "50_torn.jpg", size=300)
    (photos / "50_torn.jpg").write_bytes((photos / "50_torn.jpg").read_bytes()[:2000])
    (photos / "notes.txt").write_text("not a picture, and not called one")
    Image.new("L", (70, 90), 128).save(photos / "60_grey.png")
    Image.new("CMYK", (70, 70)).save(photos / "61_cmyk.jpg")
    Image.new("RGBA", (70, 70), (255, 0, 0, 0)).save(photos / "62_alpha.png")
    result = run(
        "inference",
        f"--exp_dir={tmp_path / 'out'}",
        f"--checkpoint_path={checkpoint}",
        f"--data_path={photos}",
        "--target_age=30",
        "--test_workers=0",
    )
    assert result.returncode == 0, result.stderr
    assert "skipped: cannot read" in result.stderr and "50_torn.jpg" in result.stderr
    assert "6 photos aged, 1 unreadable skipped" in result.stdout
    assert len(files_below(tmp_path / "out" / "inference_results")) == 6


def test_the_command_itself(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    result = run_command_line("inference", "--exp_dir=out", "--target_age=abc", cwd=tmp_path)
    assert result.returncode == 2 and not (tmp_path / "out").exists()
    assert result.stderr.startswith("error: --target_age: 'abc' is no age")
    shutil.copy(checkpoint, tmp_path / "mine.pt")
    arguments = ["--exp_dir=out", "--checkpoint_path=mine.pt", "--data_path=photos", "--target_age=30"]
    result = run_command_line("inference_side_by_side", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(files_below(tmp_path / "out" / "inference_side_by_side")) == 3
