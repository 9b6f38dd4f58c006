"""Shared test setup: repository root first on the path, few threads, ``--slow`` for the large networks."""

import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests", ROOT):
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))

import pytest  # noqa: E402
import torch  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--slow``, without which tests marked ``slow`` are skipped."""
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow (1024 pixels)")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker; one thread per pytest-xdist worker, as many as there are cores otherwise.

    ``AGELAB_START_METHOD`` says how worker processes start, as for the commands.
    """
    if method := os.environ.get("AGELAB_START_METHOD"):
        multiprocessing.set_start_method(method, force=True)
    config.addinivalue_line("markers", "slow: needs the full-size official networks; run with --slow")
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips slow tests unless ``--slow`` is given."""
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow; run with --slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same global random state."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What toy trainings read, see ``training_toys.make_files``."""
    import training_toys

    return training_toys.make_files(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def exported_sam(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small SAM file and its exported folder, see ``exported_toys.exported_sam``; one for all processes."""
    import exported_toys

    base = tmp_path_factory.getbasetemp()
    return exported_toys.exported_sam(
        (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "sam"
    )


@pytest.fixture(scope="session")
def lab() -> Iterator[Any]:
    """The warm process that trains and dies, see ``kill_lab``."""
    from kill_lab import Lab

    with Lab() as warm:
        yield warm


@pytest.fixture(scope="session")
def cpu_operators(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """StyleGAN2's compiled operators for this processor, see ``stylegan2_machine``."""
    from stylegan2_machine import compile_for_cpu

    return compile_for_cpu(tmp_path_factory.mktemp("operators"))


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
            ],
        ),
    ]
)
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """This processor, or a CUDA device where there is one, with StyleGAN2's compiled operators."""
    from stylegan2_machine import Machine

    from models.stylegan2.op import choose_ops
    from models.stylegan2.op.build import toolkits

    device = request.param
    if device == "cuda" and next(toolkits(), None) is None:
        pytest.skip("no nvcc here (pip install 'cuda-toolkit[nvcc,cccl]' brings one)")
    yield Machine(device, request.getfixturevalue("cpu_operators") if device == "cpu" else None)
    choose_ops("auto")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; skips where playwright or the program is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium on the path (apt install chromium)")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()
