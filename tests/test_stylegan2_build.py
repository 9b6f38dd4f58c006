"""Choice and build of the compiled operators: never at import, one warning, readable reasons; the kernels
compile where there is an nvcc, with or without a GPU.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.stylegan2.op import build, choose_ops, compiled, fused_leaky_relu, upfirdn2d
from options.inference_options import InferenceOptions
from options.parser import build_parser
from options.train_options import parse_train_options
from utils.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CUDA_TENSOR: Any = SimpleNamespace(is_cuda=True, dtype=torch.float32, device=torch.device("cuda"))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing chosen, nothing built."""
    monkeypatch.setattr(compiled, "_choice", "auto")
    monkeypatch.setattr(compiled, "_operators", None)
    monkeypatch.setattr(compiled, "_failure", None)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts attempts to build, each of which fails."""
    attempts: list[str] = []

    def fail() -> Path:
        attempts.append("build")
        raise InputError("no nvcc was found")

    monkeypatch.setattr(compiled, "build", fail)
    return attempts


def compute_on_cpu() -> None:
    upfirdn2d(torch.zeros(1, 2, 4, 4), torch.zeros(2, 2), up=2)
    fused_leaky_relu(torch.zeros(1, 2), torch.zeros(2))


# ---------------------------------------------------------------- choice


def test_import_and_cpu_tensors_build_nothing(tmp_path: Path) -> None:
    """Compilers that leave a trace stand first on the path, and a folder for builds stays empty."""
    trace, cache = tmp_path / "trace", tmp_path / "cache"
    cache.mkdir()
    for name in ("nvcc", "c++", "g++", "ninja"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {name} >> {trace}\n")
        program.chmod(0o755)
    code = """
import sys, torch
from models.stylegan2.model import Generator, StyleGAN2Config
config = StyleGAN2Config(size=8, style_dim=4, n_mlp=1, channels={4: 4, 8: 4})
Generator.from_config(config)([torch.randn(1, 4)])
print("torch.utils.cpp_extension" in sys.modules)
"""
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {
        **os.environ,
        "PATH": path,
        "TORCH_EXTENSIONS_DIR": str(cache),
        "PYTHONWARNINGS": "error::UserWarning",
    }
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "False\n", "")
    assert not trace.exists() and not list(cache.iterdir())


def test_auto_is_silent_for_cpu_tensors(builds: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compute_on_cpu()
    assert not builds


def test_auto_warns_once_and_goes_on(builds: list[str]) -> None:
    with pytest.warns(UserWarning) as caught:
        assert [compiled.compiled_operators(CUDA_TENSOR) for _ in range(3)] == [None] * 3
    (warning,) = caught
    assert "run in plain PyTorch, which is slower: no nvcc was found (--ops=native" in str(warning.message)
    assert len(builds) == 1


def test_threads_build_once(builds: list[str]) -> None:
    with pytest.warns(UserWarning) as caught:
        threads = [
            threading.Thread(target=compiled.compiled_operators, args=(CUDA_TENSOR,)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(builds) == len(caught) == 1


def test_only_the_main_process_warns(builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled.compiled_operators(CUDA_TENSOR) is None


def test_native_never_builds(builds: list[str]) -> None:
    choose_ops("native")
    assert compiled.compiled_operators(CUDA_TENSOR) is None
    assert not builds


def test_what_is_built_is_used_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    operators = object()
    monkeypatch.setattr(compiled, "build", lambda: Path("library.so"))
    monkeypatch.setattr(compiled, "CompiledOperators", lambda library: operators)
    monkeypatch.setattr(compiled, "check_operators", lambda *_: None)
    assert compiled.compiled_operators(CUDA_TENSOR) is operators
    assert compiled.compiled_operators(CUDA_TENSOR, None, CUDA_TENSOR) is operators
    elsewhere = SimpleNamespace(device=torch.device("cpu"))
    assert compiled.compiled_operators(CUDA_TENSOR, elsewhere) is None
    whole_numbers = SimpleNamespace(is_cuda=True, dtype=torch.int64, device=torch.device("cuda"))
    assert compiled.compiled_operators(whole_numbers) is None
    assert compiled.compiled_operators(torch.zeros(1)) is None


def test_cuda_without_a_device_is_one_sentence(builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="^--ops=cuda: this machine has no CUDA device; use --ops=auto or"):
        choose_ops("cuda")
    assert not builds
    compute_on_cpu()  # the former choice holds


def test_cuda_that_cannot_be_built_is_one_sentence(
    builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match="^--ops=cuda does not go with --device=cpu"):
        choose_ops("cuda", torch.device("cpu"))
    with pytest.raises(InputError, match="^--ops=cuda: no nvcc was found$"):
        choose_ops("cuda", torch.device("cuda"))


def test_unknown_choice() -> None:
    with pytest.raises(InputError, match="^--ops=fast: use one of auto, cuda, native$"):
        choose_ops("fast")


def test_option_of_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = build_parser(InferenceOptions)
    assert parser.parse_args([]).ops == "auto"
    opts = parse_train_options(["--coach=sam", f"--exp_dir={tmp_path / 'run'}", "--l2_lambda=1"])
    assert opts.ops == "auto"
    with pytest.raises(InputError, match="--ops: invalid choice: 'fast'"):
        parser.parse_args(["--ops=fast"])


@pytest.mark.parametrize(("script", "arguments"), [("train", ["--l2_lambda=1"]), ("inference", [])])
def test_cuda_without_a_device_stops_a_command_before_anything_is_written(
    script: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "scripts")])
    arguments = [*arguments, "--ops=cuda", f"--exp_dir={tmp_path / 'out'}"]
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
    main = runpy.run_path(str(ROOT / "scripts" / f"{script}.py"))["main"]
    with pytest.raises(InputError, match="^--ops=cuda: this machine has no CUDA device; use --ops=auto or"):
        main()
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- finding a compiler


def make_toolkit(home: Path, version: str, then: str = "exit 0") -> Path:
    """A folder that looks like a CUDA toolkit; its nvcc tells a version, or does `then`."""
    (home / "include").mkdir(parents=True)
    (home / "include" / "cuda_runtime.h").touch()
    make_nvcc(home, version, then)
    return home


def make_nvcc(home: Path, version: str, then: str = "exit 0") -> None:
    nvcc = home / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True, exist_ok=True)
    tells = (
        f"[ \"$1\" = --version ] && echo 'Cuda compilation tools, release {version}, V{version}.7' && exit 0"
    )
    nvcc.write_text(f"#!/bin/sh\n{tells}\n{then}\n")
    nvcc.chmod(0o755)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No toolkit anywhere, PyTorch built for CUDA 13.0; yields a folder of Python packages."""
    for name in ("CUDA_HOME", "CUDA_PATH", "TORCH_CUDA_ARCH_LIST", "CXX"):
        monkeypatch.delenv(name, raising=False)
    packages = tmp_path / "site-packages"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(build.shutil, "which", lambda name: None if name == "nvcc" else real_which(name))
    monkeypatch.setattr(build, "DEFAULT_HOME", tmp_path / "usr_local_cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(packages)])
        yield packages


real_which = shutil.which


def test_no_compiler(bare: Path) -> None:
    with pytest.raises(InputError) as caught:
        build.find_toolkit()
    assert str(caught.value).startswith(
        "no nvcc was found, and PyTorch is built for CUDA 13.0: set CUDA_HOME"
    )
    assert "\n" not in str(caught.value)


def test_compiler_of_another_cuda(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = make_toolkit(tmp_path / "cuda-12.4", "12.4")
    monkeypatch.setenv("CUDA_HOME", str(home))
    with pytest.raises(InputError) as caught:
        build.find_toolkit()
    expected = f"{home}/bin/nvcc is of CUDA 12.4, and PyTorch is built for CUDA 13.0: set CUDA_HOME"
    assert str(caught.value).startswith(expected)


def test_compiler_of_the_python_packages_is_taken_where_the_first_does_not_fit(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_HOME", str(make_toolkit(tmp_path / "cuda-12.4", "12.4")))
    home = make_toolkit(bare / "nvidia" / "cu13", "13.2")
    assert build.find_toolkit() == build.Toolkit(home, "13.2")


def test_wrapper_without_headers_is_not_a_toolkit(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_nvcc(tmp_path / "local", "13.0")
    monkeypatch.setattr(build.shutil, "which", lambda name: str(tmp_path / "local" / "bin" / name))
    home = make_toolkit(build.DEFAULT_HOME, "13.0")
    assert build.find_toolkit() == build.Toolkit(home, "13.0")


def test_pytorch_without_cuda(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(InputError, match="is built without CUDA$"):
        build.find_toolkit()


def test_no_host_compiler(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_toolkit(build.DEFAULT_HOME, "13.0")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"^no C\+\+ compiler \(no-such-compiler\) was found"):
        build.build()


# ---------------------------------------------------------------- building


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for builds, and a GPU to build for."""
    from torch.utils import cpp_extension

    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0")
    return tmp_path / "cache"


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_failed_build_is_one_sentence_and_a_log(
    cache: Path, bare: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0")
    make_toolkit(build.DEFAULT_HOME, "13.0", then="echo 'ops.cu(7): error: no such thing'; exit 1")
    with pytest.raises(InputError) as caught:
        build.build()
    (log,) = cache.rglob("build.log")
    reason = "the build failed with 'ops.cu(7): error: no such thing'"
    assert str(caught.value) == f"{reason} (all of it is in {log})"
    assert "ops.cu(7): error: no such thing" in log.read_text(encoding="utf-8")
    assert capfd.readouterr().err.count("building the StyleGAN2 operators, once, in") == 1


def any_toolkit() -> build.Toolkit:
    found = next(build.toolkits(), None)
    if found is None:
        pytest.skip("no nvcc here (pip install 'cuda-toolkit[nvcc,cccl]' brings one)")
    return found


FORMS = {"12FusedBiasAct": 2, "16FusedBiasActWalk": 1, "10ChannelDot": 2, "9UpFirDn2d": 5}


def test_kernels_compile(tmp_path: Path) -> None:
    """To PTX, which needs no GPU: every operator in every precision."""
    toolkit = any_toolkit()
    ptx = tmp_path / "ops.ptx"
    command = [str(toolkit.nvcc), "-std=c++17", "-O3", "-Werror=all-warnings", "-ptx", str(build.SOURCE)]
    result = subprocess.run([*command, "-o", str(ptx)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    kernels = re.findall(r"\.entry (\w+)", ptx.read_text(encoding="utf-8"))
    for precision in ("f", "d", "6__half", "13__nv_bfloat16"):
        for operator, forms in FORMS.items():
            assert sum(f"{operator}I{precision}L" in kernel for kernel in kernels) == forms, (
                operator,
                precision,
            )


@pytest.mark.slow
@pytest.mark.skipif(torch.version.cuda is None, reason="needs a PyTorch built for CUDA")
def test_library_is_built_once_and_loads(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The whole build, as a machine with a GPU makes it."""
    any_toolkit()
    library = build.build()
    written = library.stat().st_mtime_ns
    assert build.build() == library and library.stat().st_mtime_ns == written
    assert capfd.readouterr().err.count("building the StyleGAN2 operators") == 1
    operators = compiled.CompiledOperators(library)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="^fused_bias_act: .*(CUDA|device)"):
            operators.fused_bias_act(torch.zeros(1, 2), None, None, 0.2, 1.0)
