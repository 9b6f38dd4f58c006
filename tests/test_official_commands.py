"""Every official inference command: parsed as its README has it, and run on a toy network."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import ROOT, run
from inference_toys import INPUT, OUTPUT, files_below, make_photo, pixels, save_toy, toy
from PIL import Image
from torchvision.utils import make_grid
from toy_networks import ADAPTER, SMALL_GENERATOR

from configs.paths_config import model_paths
from datasets.photos import read_path_list
from inference.loading import replace_drifted_encoder
from models.psp import append_age, pSp
from models.psp_aging import PersonalizedModel
from models.psp_files import psp_checkpoint
from models.stylegan2.styles import mix_styles
from options.align_options import AlignAllOptions
from options.inference_options import (
    InferenceOptions,
    ReferenceOptions,
    SamOptions,
    SideBySideOptions,
    StyleMixingOptions,
    parse_inference_options,
)
from options.lifespan_options import LifespanOptions, parse_lifespan_options, run_name
from options.parser import build_parser, parse_options
from utils.errors import InputError
from utils.pictures.reading import read_image
from utils.pictures.tensors import to_uint8

STYLES = 2 * 5 - 2
COMMON = "--exp_dir=/path/to/experiment --checkpoint_path=experiment/checkpoints/best_model.pt "
COMMON += "--data_path=/path/to/test_data --test_batch_size=4 --test_workers=4"
COMMANDS = [
    f"scripts/inference.py {COMMON} --couple_outputs --target_age=0,10,20,30,40,50,60,70,80",
    f"scripts/inference_side_by_side.py {COMMON} --target_age=0,10,20,30,40,50,60,70,80",
    f"scripts/reference_guided_inference.py {COMMON} --ref_images_paths_file=/path/to/ref_list.txt "
    "--latent_mask=8,9 --target_age=50,60,70,80",
    f"scripts/style_mixing.py {COMMON} --latent_mask=8,9 --target_age=50",
    "scripts/align_all_parallel.py --num_threads=4 --root_path=/path/to/photos",
    "helper.py --img_dir=/path/to/test_data --model_path=/path/to/experiment/checkpoints/iteration_15000.pt "
    "--blender --output_dir=/path/to/output",
    "helper.py --img_dir=/path/to/test_data --desc='sam_pretrained' --output_dir=/path/to/output",
]


OPTIONS: dict[str, type[SamOptions]] = {
    "inference": InferenceOptions,
    "inference_side_by_side": SideBySideOptions,
    "style_mixing": StyleMixingOptions,
    "reference_guided_inference": ReferenceOptions,
}


# ---------------------------------------------------------------- parsing


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--exp_dir" in command])
def test_official_inference_commands_parse(command: str) -> None:
    script, *arguments = shlex.split(command)
    assert (ROOT / script).is_file()
    opts = parse_inference_options(OPTIONS[Path(script).stem], arguments, "")
    values = opts.record()  # also of the flags that the command does not read
    given = dict(word.removeprefix("--").partition("=")[::2] for word in arguments)
    for name in ("exp_dir", "checkpoint_path", "data_path"):
        assert values[name] == given[name]
    assert (opts.test_batch_size, opts.test_workers) == (4, 4)
    assert [target.years for target in opts.targets] == [float(age) for age in given["target_age"].split(",")]
    assert values["couple_outputs"] == ("couple_outputs" in given)
    assert values["latent_mask"] == ((8, 9) if "latent_mask" in given else None)
    assert values["ref_images_paths_file"] == given.get("ref_images_paths_file", "./ref_images.txt")
    assert (values["mix_alpha"], values["n_outputs_to_generate"], opts.n_images) == (None, 5, None)
    assert not opts.align and not opts.resize_outputs and values["sweep"] is None


def test_official_helper_commands_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    personal, pretrained = (shlex.split(line)[1:] for line in COMMANDS if line.startswith("helper.py"))
    opts = parse_lifespan_options(personal, "")
    assert opts.blender and opts.checkpoint == "/path/to/experiment/checkpoints/iteration_15000.pt"
    assert (opts.img_dir, opts.output_dir) == ("/path/to/test_data", "/path/to/output")
    assert [target.label for target in opts.targets] == [str(age) for age in range(0, 101, 10)]
    monkeypatch.setitem(model_paths, "sam_ffhq_aging", str(ROOT / "README.md"))
    opts = parse_lifespan_options(pretrained, "")
    assert opts.folder == Path("/path/to/output/sam_pretrained") and not opts.blender
    assert opts.checkpoint == str(ROOT / "README.md"), "the official SAM file where it is at hand"
    with pytest.raises(InputError, match="--img_dir=DIR is needed"):
        parse_lifespan_options([], "")


def test_official_alignment_command_parses() -> None:
    command = next(line for line in COMMANDS if "align_all" in line)
    opts = parse_options(AlignAllOptions, shlex.split(command)[1:])
    assert (opts.num_threads, opts.root_path) == (4, "/path/to/photos")


@pytest.mark.parametrize(
    ("repository", "script"), [("SAM", "scripts/align_all_parallel.py"), ("MyTimeMachine", "helper.py")]
)
def test_official_flags_of_the_other_commands(repository: str, script: str) -> None:
    parser = build_parser(LifespanOptions if script == "helper.py" else AlignAllOptions)
    flags = json.loads((ROOT / "tests/fixtures/official_flags.json").read_text(encoding="utf-8"))[repository][
        script
    ]
    assert flags
    for flag in flags:
        (name,) = flag["flags"]
        action = parser._option_string_actions[name]
        assert (action.nargs == 0) == flag["switch"]
        if name != "--output_dir":  # officially a path of the author's machine
            assert action.default == flag["default"], name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/exp/alice/00000/checkpoints/iteration_15000.pt", "alice_iteration_15000"),
        ("/exp/alice/checkpoints/best_model.pt", "exp_best_model"),  # the official program names it so too
        ("/model.v2.pt", "model"),
    ],
)
def test_official_name_of_a_life_span(path: str, name: str) -> None:
    assert run_name(path) == name


# ---------------------------------------------------------------- running


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A SAM, a personalised file of ours, and two whose encoders drifted, in a run folder."""
    folder = tmp_path_factory.mktemp("alice")
    (folder / "00000").mkdir()
    (folder / "00000" / "opt.json").write_text("{}")
    sam = save_toy(folder / "sam.pt", toy(1))
    drifted = [{"recipe": "official", "checkpoint_path": str(path)} for path in (sam, folder / "gone.pt")]
    checkpoints = folder / "00000" / "checkpoints"
    return {
        "sam": sam,
        "ours": save_toy(checkpoints / "iteration_7.pt", toy(2, ADAPTER)),
        "drifted": save_toy(checkpoints / "iteration_9.pt", toy(2, ADAPTER), drifted[0]),
        "drifted_alone": save_toy(checkpoints / "iteration_11.pt", toy(2, ADAPTER), drifted[1]),
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make_photo(folder / "20_0.png", 0)
    make_photo(folder / "30_1.jpg", 1)
    return folder


def code_at(network: pSp, path: Path, age: float) -> torch.Tensor:
    """W+ code (1, n_styles, style_dim) by the formula of the paper."""
    image = read_image(path, INPUT)[None]
    with torch.no_grad():
        code = network.encoder(append_age(image, age)) + network.pretrained_encoder(image)
        code = code + network.latent_avg
        return network.personalize(code, torch.tensor([age]))


def picture_of(network: pSp, code: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return to_uint8(network.decode(code))[0].permute(1, 2, 0).numpy().astype(int)


def test_style_mixing(weights: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    command = [f"--exp_dir={tmp_path}", f"--checkpoint_path={weights['sam']}", f"--data_path={photos}"]
    command += ["--test_batch_size=4", "--test_workers=0", "--latent_mask=6,7", "--target_age=50"]
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        result = run("style_mixing", *command, f"--exp_dir={tmp_path / name}", f"--seed={seed}")
        assert result.returncode == 0, result.stderr
    assert files_below(tmp_path / "a") == {"style_mixing/50/20_0.png", "style_mixing/50/30_1.jpg"}
    a, b, c = (pixels(tmp_path / name / "style_mixing/50/20_0.png") for name in "abc")
    assert a.shape == (OUTPUT, 6 * OUTPUT, 3)
    assert (a == b).all() and (a != c).any(), "random styles come from the seed"
    network = toy(1)
    code = code_at(network, photos / "20_0.png", 50.0)
    z = torch.randn(5, SMALL_GENERATOR.style_dim, generator=torch.Generator().manual_seed(0))
    for index, w in enumerate(network.decoder.get_latent(z).detach()):
        mixed = mix_styles(code, [6, 7], w.expand(1, STYLES, -1))
        expected = picture_of(network, mixed)
        found = a[:, (index + 1) * OUTPUT : (index + 2) * OUTPUT]
        assert abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--latent_mask=6", "--target_age=50,60"], "style mixing makes one target age"),
        (["--latent_mask=6"], "style mixing makes one target age"),
        (["--target_age=50"], "--latent_mask is needed"),
        (["--target_age=50", "--latent_mask=6,8"], "there is no style 8, the codes have 0..7"),
    ],
)
def test_style_mixing_refuses(
    weights: dict[str, Path], photos: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    folders = [f"--exp_dir={tmp_path / 'out'}", f"--data_path={photos}", "--test_workers=0"]
    result = run("style_mixing", f"--checkpoint_path={weights['sam']}", *folders, *arguments)
    assert result.returncode == 2 and sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_reference_guided(weights: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    reference = make_photo(tmp_path / "refs" / "reference.png", 7)
    (tmp_path / "refs" / "list.txt").write_text(f"{reference}\n\nreference.png\n")
    command = [f"--exp_dir={tmp_path / 'out'}", f"--checkpoint_path={weights['sam']}", "--test_workers=0"]
    command += [f"--data_path={photos}", f"--ref_images_paths_file={tmp_path / 'refs' / 'list.txt'}"]
    command += ["--latent_mask=5,6", "--mix_alpha=0.4", "--target_age=50,80"]
    result = run("reference_guided_inference", *command)
    assert result.returncode == 0, result.stderr
    names = {
        f"reference_guided_inference/{age}/{name}" for age in (50, 80) for name in ("20_0.png", "30_1.jpg")
    }
    assert files_below(tmp_path / "out") == names
    sheet = pixels(tmp_path / "out/reference_guided_inference/80/20_0.png")
    assert sheet.shape == (2 * OUTPUT, 3 * OUTPUT, 3)
    assert (sheet[:OUTPUT, :OUTPUT] == 0).all(), "blank above the input"
    small = read_image(reference, INPUT).unflatten(1, (OUTPUT, 2)).unflatten(3, (OUTPUT, 2)).mean((2, 4))
    expected = to_uint8(small).permute(1, 2, 0).numpy().astype(int)
    assert abs(sheet[:OUTPUT, OUTPUT : 2 * OUTPUT] - expected).max() <= 1
    network = toy(1)
    with torch.no_grad():
        image = read_image(reference, INPUT)[None]
        inject = network.pretrained_encoder(image) + network.latent_avg
    mixed = mix_styles(code_at(network, photos / "20_0.png", 80.0), [5, 6], inject, 0.4)
    for column in (1, 2):
        found = sheet[OUTPUT:, column * OUTPUT : (column + 1) * OUTPUT]
        assert abs(found - picture_of(network, mixed)).max() <= 1


def test_reference_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_path_list(tmp_path / "no.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        read_path_list(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\nmissing.png\n")
    with pytest.raises(InputError, match="line 2: no such picture: missing.png"):
        read_path_list(tmp_path / "list.txt")


AGES = range(0, 101, 10)


def lifespan(weights: Path, photos: Path, out: Path, *arguments: str) -> str:
    command = [f"--img_dir={photos}", f"--model_path={weights}", f"--output_dir={out}", "--test_workers=0"]
    result = run("inference_lifespan", *command, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_lifespan_writes_what_the_official_helper_writes(
    weights: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    lifespan(weights["ours"], photos, tmp_path / "out", "--blender")
    folder = weights["sam"].parent.name + "_iteration_7"
    stems = {"20_0": "png", "30_1": "jpg"}
    expected = {f"latent_{stem}_{age}.npy" for stem in stems for age in AGES} | {"opt.json"}
    expected |= {f"single_img/{stem}_{age}.jpg" for stem in stems for age in AGES}
    for stem, suffix in stems.items():
        name = f"{stem}.{suffix}"
        expected |= {name, f"inversion_{name}", f"single_img/{name}", f"single_img/inversion_{name}"}
    assert files_below(tmp_path / "out") == {f"{folder}/{name}" for name in expected}
    out = tmp_path / "out" / folder
    assert (out / "single_img/20_0.png").read_bytes() == (photos / "20_0.png").read_bytes()
    network = toy(2, ADAPTER)
    strip = pixels(out / "20_0.png")
    results = []
    for age in AGES:
        code = code_at(network, photos / "20_0.png", float(age))
        saved = np.load(out / f"latent_20_0_{age}.npy")
        assert saved.shape == (1, STYLES, SMALL_GENERATOR.style_dim) and saved.dtype == np.float32
        np.testing.assert_allclose(saved, code, atol=1e-4)
        results.append(picture_of(network, code))
    photo = Image.open(photos / "20_0.png").resize((OUTPUT, OUTPUT), Image.Resampling.BICUBIC)
    pictures = [torch.from_numpy(np.asarray(item).astype(int)) for item in (photo, *results)]
    grid = make_grid([item.permute(2, 0, 1) for item in pictures], nrow=12)
    assert strip.shape[:2] == tuple(grid.shape[1:]), "the strip has the official gaps"
    assert abs(strip - grid.permute(1, 2, 0).numpy()).max() <= 1
    inversion = pixels(out / "inversion_20_0.png")
    assert abs(inversion[2:-2, OUTPUT + 4 : -2] - results[-1]).max() <= 1, "input and the last age"


def test_lifespan_takes_the_global_encoder(weights: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    """As the official helper: encoder of SAM, prior, adapter and generator of the personalised file."""
    lifespan(
        weights["drifted"],
        photos,
        tmp_path,
        "--blender",
        f"--global_checkpoint={weights['sam']}",
        "--desc=me",
    )
    network = toy(2, ADAPTER)
    network.encoder.load_state_dict(toy(1).encoder.state_dict())
    saved = np.load(tmp_path / "me" / "latent_30_1_70.npy")
    np.testing.assert_allclose(saved, code_at(network, photos / "30_1.jpg", 70.0), atol=1e-4)


def test_drifted_encoders_are_replaced_or_named(
    weights: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    arguments = ["--blender", "--target_age=70"]
    assert "give --global" not in lifespan(weights["ours"], photos, tmp_path / "a", *arguments)
    assert "give --global" in lifespan(weights["drifted_alone"], photos, tmp_path / "b", *arguments)
    assert "give --global" not in lifespan(weights["drifted"], photos, tmp_path / "c", *arguments)
    plain, replaced = (np.load(next((tmp_path / name).rglob("latent_20_0_70.npy"))) for name in "bc")
    assert abs(plain - replaced).max() > 1e-3


def test_official_personalised_files_take_the_configured_encoder(
    weights: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def encoder_of(model: PersonalizedModel) -> list[torch.Tensor]:
        replace_drifted_encoder(model, "mine.pt")
        return list(model.network.encoder.state_dict().values())

    def like(found: list[torch.Tensor], seed: int) -> bool:
        wanted = toy(seed, ADAPTER if seed == 2 else None).encoder.state_dict().values()
        return all(map(torch.equal, found, wanted))

    official: dict[str, Any] = {}  # its options name no architecture
    monkeypatch.setitem(model_paths, "sam_ffhq_aging", str(weights["sam"]))
    assert like(encoder_of(PersonalizedModel(toy(2, ADAPTER), opts=official)), 1)
    assert f"mine.pt has drifted in training; taking that of {weights['sam']}" in capsys.readouterr().out
    ours = psp_checkpoint(toy(2, ADAPTER))["opts"]
    assert like(encoder_of(PersonalizedModel(toy(2, ADAPTER), opts=ours)), 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setitem(model_paths, "sam_ffhq_aging", str(tmp_path / "missing.pt"))
    assert like(encoder_of(PersonalizedModel(toy(2, ADAPTER), opts=official)), 2)
    assert "give --global_checkpoint=FILE" in capsys.readouterr().err


def test_lifespan_without_blender_is_global(weights: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    note = lifespan(weights["ours"], photos, tmp_path, "--desc=plain", "--target_age=40")
    assert "without --blender the personalisation" in note
    network = toy(2, ADAPTER)
    network.blender = None
    saved = np.load(tmp_path / "plain" / "latent_20_0_40.npy")
    np.testing.assert_allclose(saved, code_at(network, photos / "20_0.png", 40.0), atol=1e-4)


def test_blender_needs_a_personalised_file(weights: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    command = [f"--img_dir={photos}", f"--model_path={weights['sam']}", "--blender"]
    result = run("inference_lifespan", *command, f"--output_dir={tmp_path / 'out'}")
    assert result.returncode == 2 and "--blender needs a personalised checkpoint" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_old_helper_command(weights: dict[str, Path], photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "helper.py"), f"--img_dir={photos}", "--desc=sam_pretrained"]
    command += [f"--output_dir={tmp_path / 'out'}", f"--model_path={weights['sam']}", "--target_age=30"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "sam_pretrained" / "single_img" / "20_0_30.jpg").is_file()
