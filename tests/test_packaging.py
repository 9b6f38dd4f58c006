"""The house itself: floors, imports, README commands, presets, official flags, the project file."""

import argparse
import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from commands import ROOT, script_main

from configs.paths_config import model_paths
from configs.weights import WEIGHTS
from criteria.recipes import MyTimeMachineRecipe
from options.inference_options import InferenceOptions
from options.parser import Parser, build_parser
from options.train_options import build_train_parser, choose_coach, parse_train_options

FLOORS = [
    "utils",
    "configs",
    "models",
    "datasets",
    "criteria",
    "options",
    "training",
    "inference",
    "evaluation",
    "webpage",
    "scripts",
]
LONGEST_FILE, LONGEST_FUNCTION = 400, 60  # lines
LAZY = [
    "dlib",
    "spandrel",
    "gpytorch",
    "torch_fidelity",
    "pillow_heif",
    "imageio_ffmpeg",
    "gradio",
    "playwright",
    "gdown",
    "huggingface_hub",
    "skimage",
    "pytest",
]
POSIX = ["fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"]


def modules() -> Iterator[tuple[str, Path]]:
    """Yields (dotted name, file) of every module of ours."""
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter outside the repository."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd="/", timeout=240, check=False)


# ---------------------------------------------------------------- floors


def imported_modules(path: Path) -> list[tuple[str, bool]]:
    """Returns what a file imports: (dotted name, whether at import time)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside_function = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(name, id(node) not in inside_function) for name in names]
    return found


def test_no_floor_imports_from_a_floor_above() -> None:
    upwards = []
    for name, path in modules():
        own = FLOORS.index(name.split(".")[0])
        for target, _ in imported_modules(path):
            room = target.split(".")[0]
            if room in FLOORS and FLOORS.index(room) > own:
                upwards.append(f"{name} imports {target}")
    assert not upwards


def test_imports_have_no_circles() -> None:
    names = {name for name, _ in modules()}

    def resolve(target: str) -> str:
        return target if target in names else target.rpartition(".")[0]

    graph = {
        name: {resolve(target) for target, at_import in imported_modules(path) if at_import} & names - {name}
        for name, path in modules()
    }
    packages = {name for name, path in modules() if path.name == "__init__.py" and not graph[name]}
    graph = {name: targets - packages for name, targets in graph.items()}
    while leaves := [name for name, targets in graph.items() if not targets]:
        graph = {name: targets - set(leaves) for name, targets in graph.items() if name not in leaves}
    assert not graph, f"modules that import each other: {graph}"


def test_every_module_says_what_it_is() -> None:
    silent = [
        name
        for name, path in modules()
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_nothing_imports_from_scripts() -> None:
    """They only parse, build and run."""
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")} - {"_bootstrap", *FLOORS}
    assert not [
        f"{name} imports {target}"
        for name, path in modules()
        for target, _ in imported_modules(path)
        if target.split(".")[0] in scripts | {"scripts"}
    ]


def test_files_and_functions_fit_on_a_screen() -> None:
    long = []
    for name, path in modules():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > LONGEST_FILE:
            long.append(name)
        long += [
            f"{name}.{node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno - node.lineno >= LONGEST_FUNCTION
        ]
    assert not long


def test_a_summary_is_one_line() -> None:
    broken = []
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                summary = (ast.get_docstring(node) or "").split("\n\n")[0]
                if "\n" in summary:
                    broken.append(f"{name}.{getattr(node, 'name', '')}: {summary}")
    assert not broken


def test_tests_do_not_import_tests() -> None:
    for path in (ROOT / "tests").glob("*.py"):
        targets = [target for target, _ in imported_modules(path)]
        assert not [target for target in targets if target.startswith("test_")], path


# ---------------------------------------------------------------- what gets imported


def test_datasets_is_ours_even_if_another_one_is_installed(tmp_path: Path) -> None:
    other = tmp_path / "datasets"
    other.mkdir()
    (other / "__init__.py").write_text("raise RuntimeError('a foreign datasets package was imported')")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import _bootstrap, datasets; "
        "print(datasets.__file__)"
    )
    result = run_python(code, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()) == ROOT / "datasets" / "__init__.py"


def test_everything_imports_without_compilers_optional_packages_and_posix(tmp_path: Path) -> None:
    """What Windows has not is missing for our modules alone: the packages beside us ask for it, too."""
    names = [name for name, _ in modules() if not name.startswith("scripts")]
    scripts = [str(path) for path in sorted((ROOT / "scripts").glob("*.py"))]
    code = f"""
import builtins, importlib, runpy, sys, types
sys.path.insert(0, {str(ROOT / "scripts")!r})
usual = builtins.__import__

def of_windows(name, scope=None, *more):
    asker = (scope or dict()).get("__file__") or ""
    ours = asker.startswith({str(ROOT)!r}) and "site-packages" not in asker
    if ours and name == "msvcrt":
        return types.ModuleType(name)
    if ours and name in {POSIX!r}:
        raise ModuleNotFoundError(f"{{name}} is not there on Windows", name=name)
    return usual(name, scope, *more)

builtins.__import__ = of_windows

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {LAZY!r}:
            raise ModuleNotFoundError(f"{{name}} must be imported lazily", name=name)

sys.meta_path.insert(0, Absent())
import _bootstrap
for name in {names!r}:
    importlib.import_module(name)
for path in {scripts!r}:
    runpy.run_path(path, run_name="script")
print("imported")
"""
    result = run_python(code, PATH=str(tmp_path), CC="", CXX="", CUDA_HOME="", CUDA_VISIBLE_DEVICES="")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("imported")


# ---------------------------------------------------------------- command lines


class Parsed(Exception):  # noqa: N818
    """The command line was accepted."""


def check_command_line(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a script parse its command line and stops it there."""
    if script == "train":
        parse_train_options(arguments)
        return
    main = script_main(script)
    original = Parser.parse_args

    def parse_and_stop(self: Parser, *args: Any, **kwargs: Any) -> NoReturn:
        original(self, *args, **kwargs)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [f"scripts/{script}.py", *arguments])
    with pytest.raises(Parsed):
        main()


def documented_commands() -> list[str]:
    """Returns every command in the fenced shell blocks of README.md and docs/*.md."""
    commands = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(
            r"```(?:bash|sh|shell)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL
        ):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.split(" #")[0].strip()
                if command and not command.startswith("#"):
                    commands.append(command)
    return sorted(set(commands))


@pytest.mark.parametrize("command", documented_commands())
def test_documented_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
        words = words[1:]
    if words[:1] == ["make"]:
        targets = [word for word in words[1:] if "=" not in word]
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert targets and all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
    elif words[0] in ("python", "torchrun") and words[1:2] != ["-m"]:
        script = next(word for word in words if word.endswith(".py"))
        assert (ROOT / script).is_file(), f"{script} does not exist"
        check_command_line(Path(script).stem, words[words.index(script) + 1 :], monkeypatch)
    else:
        assert words[0] in ("python", "pip", "conda", "git", "cd", "tensorboard", "gdown"), command


def test_readme_documents_commands() -> None:
    assert any("scripts/inference.py" in command for command in documented_commands())


def test_pages_name_only_files_that_exist() -> None:
    rooms = "|".join([*FLOORS, "docs", "tests", "assets", "pretrained_models/demo"])
    missing = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for name in re.findall(rf"`@?((?:{rooms})/[\w./-]*)`", page.read_text(encoding="utf-8")):
            if "NAME" not in name and not (ROOT / name).exists():
                missing.append(f"{page.name} names {name}")
    assert not missing


def test_makefile_names_only_scripts_that_exist() -> None:
    names = set(re.findall(r"scripts/\w+\.(?:py|sh)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert names and not [name for name in names if not (ROOT / name).is_file()]


def test_every_fault_of_the_official_coaches_is_documented() -> None:
    faults = (ROOT / "tests" / "fixtures" / "parity" / "golden" / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "mytimemachine.md").read_text(encoding="utf-8")
    for heading, section in (
        ("## Faults and surprises: MyTimeMachine", "fault by fault"),
        ("## Faults and surprises: SAM", "## The published program of SAM"),
    ):
        found = re.findall(r"^(\d+)\. ", faults.split(heading)[1].split("\n## ")[0], flags=re.MULTILINE)
        listed = re.findall(r"^\| (\d+) \|", page.split(section)[1].split("\n## ")[0], flags=re.MULTILINE)
        assert found and listed == found


def test_every_repair_of_mytimemachine_is_documented() -> None:
    page = (ROOT / "docs" / "mytimemachine.md").read_text(encoding="utf-8")
    table = page[page.index("fault by fault") : page.index("## The published program of SAM")]
    named = set(re.findall(r"`([a-z]\w+)`", table)) - {"official", "corrected", "loss", "cycle_lambda"}
    assert named == set(MyTimeMachineRecipe.__dataclass_fields__)


PRESETS = sorted((ROOT / "configs").rglob("*.args"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_parses(preset: Path) -> None:
    coach = choose_coach([f"@{preset}"])
    required = [action for action in build_train_parser(coach)._actions if action.required]
    needed = [f"{action.option_strings[-1]}=placeholder" for action in required]
    opts = parse_train_options([*needed, f"@{preset}"])
    assert opts.coach == coach


def official_flags(repository: str, script: str) -> list[dict[str, Any]]:
    """Returns the frozen list of official flags."""
    table = json.loads((ROOT / "tests" / "fixtures" / "official_flags.json").read_text(encoding="utf-8"))
    return table[repository][script]


# Official defaults that are None or dead and have a meaning here.
OTHER_DEFAULTS = {
    "sam": {"--target_age"},
    "mytimemachine": {
        "--train_dataset",
        "--target_age",
        "--pretrained_psp_path",
        "--adaptive_w_norm_lambda",  # 7, which its authors advise to start with
    },
}


def check_flags(
    parser: argparse.ArgumentParser, flags: list[dict[str, Any]], other: Collection[str] = ()
) -> None:
    """Asserts that a parser takes every flag in the official form, with the official default."""
    for flag in flags:
        name = flag["flags"][0]
        action = parser._option_string_actions.get(name)
        assert action is not None, f"{name} is missing"
        assert (action.nargs == 0) == flag["switch"], name
        default = flag["default"]
        if isinstance(default, str) and default.startswith("<model_paths."):
            default = model_paths[default.removeprefix("<model_paths.").removesuffix(">")]
        if name not in other:
            assert action.default == default, f"{name}: {action.default!r}, officially {default!r}"


@pytest.mark.parametrize("repository", ["SAM", "MyTimeMachine"])
def test_official_inference_flags(repository: str) -> None:
    parser = build_parser(InferenceOptions)
    check_flags(parser, official_flags(repository, "inference scripts"))


@pytest.mark.parametrize(("repository", "coach"), [("SAM", "sam"), ("MyTimeMachine", "mytimemachine")])
def test_official_training_flags(repository: str, coach: str) -> None:
    parser = build_train_parser(coach)
    check_flags(parser, official_flags(repository, "scripts/train.py"), OTHER_DEFAULTS[coach])


# ---------------------------------------------------------------- project files


def project_file() -> dict[str, Any]:
    """Reads pyproject.toml."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_nothing_is_installed_as_a_top_level_package() -> None:
    assert project_file()["tool"]["hatch"]["build"]["targets"]["wheel"] == {"bypass-selection": True}
    assert not (ROOT / "agelab").exists() and not (ROOT / "src").exists()


def test_conda_environment_names_the_same_packages() -> None:
    conda_names = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "dlib-bin": "dlib"}
    listed = set(
        re.findall(
            r"^\s+- ([a-z0-9-]+)", (ROOT / "environment.yml").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    )
    for requirement in project_file()["project"]["dependencies"]:
        match = re.match(r"[A-Za-z0-9-]+", requirement)
        assert match
        assert conda_names.get(match[0], match[0]) in listed, requirement


def test_weights_table_is_complete() -> None:
    files = [weight.file for weight in WEIGHTS.values()]
    assert len(set(files)) == len(files)
    for name, weight in WEIGHTS.items():
        assert weight.licence and weight.source and weight.normalisation, name
        assert weight.bundled == name.startswith("demo_"), name
        assert weight.bundled or weight.megabytes, name
        assert weight.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", weight.sha256), name


def test_bundled_weights_are_all_there_and_small() -> None:
    files = [ROOT / weight.file for weight in WEIGHTS.values() if weight.bundled]
    if not any(path.exists() for path in files):
        pytest.skip("no demonstration weights in this checkout; make demo-weights trains them")
    assert not [path.name for path in files if not path.exists()]
    sizes = {path.name: path.stat().st_size for path in files}
    assert sizes.pop("reaging_gan.pt") < 10e6
    assert sizes.pop("directed.pt") < 15e6
    assert sum(sizes.values()) < 40e6


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_torch_wheels_can_be_chosen(tmp_path: Path) -> None:
    command = ["make", "-n", "-C", str(ROOT), "install", f"VENV={tmp_path / 'venv'}"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "install  torch torchvision" in plain and "--index-url" not in plain
    chosen = [*command, "TORCH_INDEX_URL=https://example.org/cpu", "TORCH=torch==2.4.1 torchvision==0.19.1"]
    output = subprocess.run(chosen, capture_output=True, text=True, check=True).stdout
    assert '--index-url "https://example.org/cpu" torch==2.4.1 torchvision==0.19.1' in output


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_demo_weights_need_a_folder_before_anything_is_installed(tmp_path: Path) -> None:
    command = ["make", "-C", str(ROOT), "demo-weights", f"VENV={tmp_path / 'venv'}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "error: name the folder of faces" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_too_old_python_is_one_clear_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.8.1' && exit 0\nexit 1\n")
    old.chmod(0o755)
    command = ["bash", str(ROOT / "scripts" / "make_venv.sh"), str(tmp_path / "venv"), str(old)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "needs Python 3.10 or newer" in result.stderr and "Python 3.8.1" in result.stderr
    assert not (tmp_path / "venv").exists()
