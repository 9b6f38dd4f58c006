"""Results against inputs and against each other: nothing is overwritten, every photo has its own."""

import os
import random
import unicodedata
from pathlib import Path

import pytest
from commands import run
from inference_toys import files_below, make_photo, pixels, save_toy, toy

from datasets.photos import result_names, result_stems
from utils.errors import InputError
from utils.files.outputs import distinct, refuse_overwriting, require_writable


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("weights") / "sam.pt", toy())


# ---------------------------------------------------------------- the rules


def test_a_file_is_known_by_whatever_name(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("a.png", "link.png", "hard.png", "folder/a.png", "../" + tmp_path.name + "/a.png"):
        with pytest.raises(InputError, match="would be overwritten"):
            refuse_overwriting([tmp_path / "new.png", tmp_path / name], [None, tmp_path / "no.png", photo])
    refuse_overwriting([tmp_path / "b.png", make_photo(tmp_path / "c.png")], [photo])


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable([tmp_path / "new" / "deeper"])
    photo = make_photo(tmp_path / "a.png")
    with pytest.raises(InputError, match="a.png is no folder"):
        require_writable([photo / "deeper"])
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="read-only; choose another folder"):
        require_writable([tmp_path / "new"])


def folded(path: Path) -> str:
    """What a file system that knows no case and composes accents makes of a name."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def test_names_are_distinct_on_every_file_system_and_kept_where_they_can_be() -> None:
    """200 draws of names that differ in case, composition, suffix and folder."""
    draws = random.Random(7)
    parts = ("a", "A", "a_2", "a_20", "\u00e9", "e\u0301", "inversion_a", "a.b", "a_png")
    suffixes = (".jpg", ".JPG", ".jpeg", ".png", ".heic", ".HEIC", ".heic.jpg", ".gif", "")
    for _ in range(200):
        names = {
            f"{draws.choice(('', 'x/', 'X/'))}{draws.choice(parts)}{draws.choice(suffixes)}" for _ in range(9)
        }
        paths = [Path("in") / name for name in sorted(names)]
        own = result_names(paths, Path("in"))
        stems = result_stems(own)

        def files(index: int, name: Path, own: list[Path] = own, stems: list[Path] = stems) -> list[Path]:
            tail = name.stem.removeprefix(own[index].stem)
            stem = f"{stems[index]}{tail}"
            return [Path("strips") / name, Path("strips") / f"inversion_{name.name}", Path(f"{stem}_20.jpg")]

        chosen = distinct(own, files)
        assert chosen == distinct(own, files), "drawn anew"
        written = [folded(file) for index, name in enumerate(chosen) for file in files(index, name)]
        assert len(set(written)) == len(written), chosen
        lonely = [
            index
            for index, name in enumerate(own)
            if not {folded(file) for file in files(index, name)}
            & {folded(f) for i, n in enumerate(own) if i != index for f in files(i, n)}
        ]
        assert all(chosen[index] == own[index] for index in lonely)


# ---------------------------------------------------------------- the commands

COMMANDS = {  # a folder below which a command writes, and the flags that name photos, results and model
    "inference": ("inference_results/70", "--data_path", "--exp_dir", "--checkpoint_path"),
    "inference_side_by_side": ("inference_side_by_side", "--data_path", "--exp_dir", "--checkpoint_path"),
    "style_mixing": ("style_mixing/70", "--data_path", "--exp_dir", "--checkpoint_path"),
    "reference_guided_inference": (
        "reference_guided_inference/70",
        "--data_path",
        "--exp_dir",
        "--checkpoint_path",
    ),
    "inference_lifespan": ("sam", "--img_dir", "--output_dir", "--model_path"),
    "helper": ("sam", "--img_dir", "--output_dir", "--model_path"),
}


def command(script: str, photos: Path, out: Path, checkpoint: Path) -> list[str]:
    _, data, results, model = COMMANDS[script]
    more = ["--desc=sam"] if data == "--img_dir" else ["--latent_mask=1", "--seed=1"]
    if script == "reference_guided_inference":
        references = checkpoint.parent / "references.txt"
        references.write_text(f"{make_photo(checkpoint.parent / 'reference.png')}\n")
        more.append(f"--ref_images_paths_file={references}")
    return [f"{data}={photos}", f"{results}={out}", f"{model}={checkpoint}", "--target_age=70", *more]


@pytest.mark.parametrize("script", COMMANDS)
def test_originals_are_never_replaced(checkpoint: Path, tmp_path: Path, script: str) -> None:
    """The photos lie where results go, or links lead from there to them."""
    below = COMMANDS[script][0]
    inside = make_photo(tmp_path / "in" / below / "me.png")
    photo = make_photo(tmp_path / "photos" / "me.png")
    linked = tmp_path / "linked" / below / "me.png"
    linked.parent.mkdir(parents=True)
    os.link(photo, linked)
    (tmp_path / "soft" / below).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "soft" / below).symlink_to(photo.parent)
    before = photo.read_bytes()
    for photos, out in ((inside.parent, "in"), (photo.parent, "linked"), (photo.parent, "soft")):
        result = run(script, *command(script, photos, tmp_path / out, checkpoint))
        assert result.returncode == 2, result.stdout
        assert "overwritten" in result.stderr or "writes its results" in result.stderr
    assert inside.read_bytes() == before == photo.read_bytes() == linked.read_bytes()


@pytest.mark.parametrize("script", COMMANDS)
def test_own_results_are_no_input(checkpoint: Path, tmp_path: Path, script: str) -> None:
    """The results go below the photos, into their folder itself, or there through a link."""
    photos = tmp_path / "photos"
    make_photo(photos / "me.png")
    (tmp_path / "way").symlink_to(photos)
    for out in (photos / "results", photos, tmp_path / "way" / "results"):
        for _ in range(2):
            result = run(script, *command(script, photos, out, checkpoint))
            assert result.returncode == 0, result.stderr
            assert "1 photos aged" in result.stdout, out


def test_every_photo_has_its_own_results(checkpoint: Path, tmp_path: Path) -> None:
    names = ("a.jpg", "a.JPG", "a.jpeg", "a.png", "a_70.jpg", "inversion_a.png", "b/a.png")
    photos = {make_photo(tmp_path / "photos" / name, seed) for seed, name in enumerate(names)}
    for script in COMMANDS:
        out = tmp_path / script
        result = run(script, *command(script, tmp_path / "photos", out, checkpoint), "--test_workers=0")
        assert result.returncode == 0, result.stderr
        found = {name.casefold() for name in files_below(out) if name.startswith(COMMANDS[script][0])}
        singles = sum("single_img" in name for name in found)
        strips = len(found) - singles - sum(name.endswith(".npy") or "opt.json" in name for name in found)
        if script in ("helper", "inference_lifespan"):
            assert (strips, singles) == (2 * len(photos), 3 * len(photos)), sorted(found)
        else:
            assert strips == len(photos), sorted(found)
    kept = tmp_path / "inference" / "inference_results" / "70"
    assert (kept / "a.jpg").is_file() or (kept / "a.JPG").is_file()
    assert len({pixels(path).tobytes() for path in kept.rglob("*.*")}) == len(photos)


def test_a_converted_file_never_replaces_its_source(tmp_path: Path, checkpoint: Path) -> None:
    source = tmp_path / "a.pt"
    source.write_bytes(checkpoint.read_bytes())
    (tmp_path / "b.pt").symlink_to(source)
    for output in (source, tmp_path / "b.pt"):
        result = run("convert_weights", str(source), str(output), "--overwrite")
        assert result.returncode == 2 and "would be overwritten" in result.stderr
    result = run("convert_weights", str(source), str(tmp_path / "new.pt"), f"--samples={source}")
    assert result.returncode == 2 and source.read_bytes() == checkpoint.read_bytes()


# ---------------------------------------------------------------- what cannot be written


def test_one_photo_without_results_does_not_end_the_run(checkpoint: Path, tmp_path: Path) -> None:
    """Its name is too long for that of a result, or a folder stands where its result should."""
    photos = tmp_path / "photos"
    for name in ("a.png", "b.png", f"{'x' * 250}.png"):
        make_photo(photos / name)
    for script in ("inference_lifespan", "inference"):
        out = tmp_path / script
        place = out / COMMANDS[script][0] / "b.png"
        place.mkdir(parents=True)
        result = run(script, *command(script, photos, out, checkpoint), "--test_workers=0")
        missing = 2 if script == "inference_lifespan" else 1
        assert result.returncode == 2 and f"{3 - missing} photos aged" in result.stdout, result.stderr
        assert f"{missing} of 3 photos lack results" in result.stderr
        assert result.stderr.count("no result: ") == missing and "Traceback" not in result.stderr
        assert (place.parent / "a.png").is_file()


def test_a_full_disk_ends_the_run_in_one_sentence(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        make_photo(tmp_path / "photos" / f"{name}.png")
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    arguments = command("inference_side_by_side", tmp_path / "photos", tmp_path / "out", checkpoint)
    result = run("inference_side_by_side", *arguments, "--test_workers=0", "--test_batch_size=1")
    assert result.returncode == 2 and "No space left" in result.stderr.splitlines()[-1]
    assert "no result" not in result.stderr
    assert files_below(tmp_path / "out") == {"inference_side_by_side/a.png", "inference_side_by_side/b.png"}
