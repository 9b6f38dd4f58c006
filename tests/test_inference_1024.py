"""Time and memory of `scripts/inference.py` with a SAM checkpoint of the official size: slow, by hand.

`python -m pytest --slow -s tests/test_inference_1024.py` prints both.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT
from inference_toys import make_photo, official_sam
from PIL import Image, ImageStat

LIMIT_GB = 8.0
AGES = tuple(range(0, 101, 10))


def run_measured(command: list[str], cores: int) -> tuple[int, float, float, float]:
    """Runs a command on some cores: exit code, seconds, seconds of all cores, peak resident memory in GB."""
    available = sorted(os.sched_getaffinity(0))[:cores]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": str(cores)},
        preexec_fn=lambda: os.sched_setaffinity(0, available),
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, worked = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime
    return process.returncode, seconds, worked, usage.ru_maxrss * 1024 / 1e9


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="peak memory of a process is read with wait4")
def test_one_face_at_eleven_ages_on_two_cores(tmp_path: Path) -> None:
    checkpoint = official_sam(tmp_path / "sam_ffhq_aging.pt")
    make_photo(tmp_path / "photos" / "face.png", size=256)
    command = [sys.executable, str(ROOT / "scripts" / "inference.py"), f"--exp_dir={tmp_path / 'out'}"]
    command += [f"--checkpoint_path={checkpoint}", f"--data_path={tmp_path / 'photos'}", "--device=cpu"]
    command += [f"--target_age={','.join(map(str, AGES))}", "--test_batch_size=4", "--test_workers=4"]
    code, seconds, worked, gigabytes = run_measured(command, cores=2)
    print(
        f"\none face at {len(AGES)} ages, 1024 pixels, 2 cores: {seconds:.0f} s ({worked:.0f} s of core time)"
    )
    print(f"peak memory {gigabytes:.2f} GB")
    assert code == 0
    assert gigabytes < LIMIT_GB
    for age in AGES:
        with Image.open(tmp_path / "out" / "inference_results" / str(age) / "face.png") as picture:
            assert picture.size == (1024, 1024)
            assert min(ImageStat.Stat(picture).stddev) > 1, "a picture, not one colour"
