"""Finds a CUDA compiler that fits PyTorch and builds `stylegan2_ops.cu` with it, once for each machine."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from utils.errors import InputError
from utils.files.writing import write_text

SOURCE = Path(__file__).with_name("stylegan2_ops.cu")
DEFAULT_HOME = Path("/usr/local/cuda")
NVCC = "nvcc.exe" if os.name == "nt" else "nvcc"


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit: its folder, which holds `bin/nvcc`, and its version such as `13.0`."""

    home: Path
    version: str

    @property
    def nvcc(self) -> Path:
        """The compiler."""
        return self.home / "bin" / NVCC


def toolkits() -> Iterator[Toolkit]:
    """Yields the toolkits of this machine, best first.

    Those of `CUDA_HOME`, of `nvcc` on the path, in `/usr/local/cuda`, and in the Python packages of
    `cuda-toolkit[nvcc,cccl]`.
    """
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    on_path = shutil.which("nvcc")
    homes += [Path(on_path).resolve().parents[1]] if on_path else []
    homes.append(DEFAULT_HOME)
    for folder in sys.path:
        homes += sorted(Path(folder, "nvidia").glob("cu[0-9]*"))
    for home in dict.fromkeys(homes):
        # a wrapper called nvcc can lie anywhere: the headers tell a toolkit
        headers = [home / "include" / "cuda_runtime.h", *home.glob("targets/*/include/cuda_runtime.h")]
        if not (home / "bin" / NVCC).is_file() or not any(header.is_file() for header in headers):
            continue
        command = [str(home / "bin" / NVCC), "--version"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if found := re.search(r"release (\d+\.\d+)", result.stdout):
            yield Toolkit(home, found[1])


def find_toolkit() -> Toolkit:
    """Returns a toolkit of the CUDA generation that this PyTorch was built for.

    Raises:
        InputError: there is none.
    """
    wanted = torch.version.cuda
    if wanted is None:
        raise InputError(f"this PyTorch ({torch.__version__}) is built without CUDA")
    others = []
    for toolkit in toolkits():
        if toolkit.version.split(".")[0] == wanted.split(".")[0]:
            return toolkit
        others.append(f"{toolkit.nvcc} is of CUDA {toolkit.version}")
    found = "; ".join(others) or "no nvcc was found"
    raise InputError(
        f"{found}, and PyTorch is built for CUDA {wanted}: set CUDA_HOME to a CUDA {wanted} toolkit, or with "
        "CUDA 13 and later pip install 'cuda-toolkit[nvcc,cccl]' of that version"
    )


def build() -> Path:
    """Builds the operators for the GPUs of this machine unless that is done already; returns the library.

    The library is kept in PyTorch's cache (`TORCH_EXTENSIONS_DIR`), under a name that changes with source,
    compiler and GPUs. PyTorch's own lock lets one process build and the others wait.

    Raises:
        InputError: a tool is missing or fails.
    """
    toolkit = find_toolkit()
    compiler = os.environ.get("CXX") or ("cl" if os.name == "nt" else "c++")
    if shutil.which(compiler) is None:
        raise InputError(f"no C++ compiler ({compiler}) was found, which nvcc needs: install one or set CXX")
    try:  # imported here: it looks for compilers and complains where there is no GPU
        from torch.utils import cpp_extension
    except ImportError as error:
        raise InputError(f"PyTorch's torch.utils.cpp_extension needs a package: {error}") from error
    cpp_extension.CUDA_HOME = str(toolkit.home)
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root()
    name = f"agelab_stylegan2_{_fingerprint(toolkit)}"
    folder = Path(root) / name
    library = folder / f"{name}{cpp_extension.LIB_EXT}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not library.exists():
            print(f"building the StyleGAN2 operators, once, in {folder} ...", file=sys.stderr)
        with _ninja_on_path():
            cpp_extension.load(
                name=name,
                sources=[str(SOURCE)],
                extra_cuda_cflags=["-O3"],
                extra_ldflags=_link_flags(toolkit.home, folder),
                build_directory=str(folder),
                is_python_module=False,
            )
    except Exception as error:  # whatever fails in there, the native operators still work
        raise InputError(_explain(error, folder)) from error
    return library


def _fingerprint(toolkit: Toolkit) -> str:
    gpus = {torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    parts = [toolkit, torch.__version__, os.environ.get("TORCH_CUDA_ARCH_LIST"), sorted(gpus)]
    return hashlib.sha256(SOURCE.read_bytes() + repr(parts).encode()).hexdigest()[:12]


def _link_flags(home: Path, folder: Path) -> list[str]:
    """Where the linker finds `cudart`, which the Python packages have as `libcudart.so.13` only."""
    for place in ("lib64", "lib", "targets/*/lib"):
        for full_name in sorted(home.glob(f"{place}/libcudart.so.[0-9]*")):
            link = folder / "libcudart.so"
            if not full_name.with_name(link.name).exists() and not link.exists():
                temporary = folder / f"libcudart.{os.getpid()}.tmp"
                temporary.symlink_to(full_name)
                os.replace(temporary, link)
            return [f"-L{full_name.parent}", f"-L{folder}"]
    return []


@contextmanager
def _ninja_on_path() -> Iterator[None]:
    """Lets PyTorch find the ninja of this environment, activated or not."""
    path = os.environ.get("PATH", "")
    if shutil.which("ninja") is None and importlib.util.find_spec("ninja"):
        import ninja

        os.environ["PATH"] = os.pathsep.join([ninja.BIN_DIR, path])
    try:
        yield
    finally:
        os.environ["PATH"] = path


def _explain(error: Exception, folder: Path) -> str:
    """One sentence; the compiler's whole output goes to a file."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if len(lines) == 1:
        return f"the build failed: {lines[0]}"
    first = next((line for line in lines[1:] if "error" in line.lower()), lines[0])
    log = write_text(str(error), folder / "build.log")
    return f"the build failed with '{first.strip()}' (all of it is in {log})"
