"""Jobs of threads beside the main work: bounded, ended by the first trouble, dropped at a stop."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from utils.errors import InputError
from utils.parallel import Background, once

ROOT = Path(__file__).resolve().parents[1]
AFTER_OPENCV = """
import cv2, numpy
from utils.parallel import parallel_map
cv2.setNumThreads(4)
picture, same = numpy.zeros((2000, 2000, 3), numpy.uint8), numpy.eye(2, 3)
def job(number):
    return number + int(cv2.warpAffine(picture, same, (300, 300)).max())
for _ in range(2):
    cv2.warpAffine(picture, same, (2000, 2000))
    assert list(parallel_map(job, range(8), 2, 1)) == list(range(8))
    assert cv2.getNumThreads() == 4
"""


def test_processes_beside_a_program_that_used_the_threads_of_opencv() -> None:
    """They would wait for threads that they do not have."""
    done = subprocess.run(
        [sys.executable, "-c", AFTER_OPENCV], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_waits_is_bounded() -> None:
    lock, held, most = threading.Lock(), 0, 0

    def job() -> None:
        nonlocal held
        time.sleep(0.002)
        with lock:
            held -= 10

    with Background(3, waiting_bytes=40) as background:
        for _ in range(50):
            background.do(job, 10)
            with lock:
                held += 10
                most = max(most, held)
        background.do(job, 1000)  # larger than all that may wait: it comes alone
        held += 10
    assert held == 0 and 20 <= most <= 50


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_all_jobs_are_done_at_the_end(threads: int) -> None:
    done: list[int] = []
    with Background(threads) as background:
        for number in range(40):
            background.do(lambda number=number: done.append(number), 1)
    assert sorted(done) == list(range(40)) and (threads > 1 or done == sorted(done))


@pytest.mark.parametrize("threads", [0, 2])
def test_the_first_trouble_ends_all(threads: int) -> None:
    done: list[int] = []

    def job(number: int) -> None:
        if number == 3:
            raise InputError("no space left")
        done.append(number)

    with pytest.raises(InputError, match="no space left"), Background(threads) as background:
        for number in range(10_000):
            background.do(lambda number=number: job(number), 0)
            time.sleep(0.0005)
    assert 3 <= len(done) < 5_000, "it went on"
    with pytest.raises(InputError, match="no space left"), Background(threads) as background:
        background.do(lambda: job(3), 0)


def test_what_has_begun_is_finished_when_the_work_is_stopped() -> None:
    begun, free, done = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        assert free.wait(30)
        done.append("first")

    with pytest.raises(KeyboardInterrupt), Background(1) as background:
        background.do(first, 0)
        background.do(lambda: done.append("second"), 0)
        begun.wait(30)
        threading.Timer(0.1, free.set).start()
        raise KeyboardInterrupt
    assert done == ["first"]


def test_a_thing_is_made_once_by_many_threads() -> None:
    made: list[int] = []

    def make() -> object:
        time.sleep(0.02)
        made.append(1)
        return object()

    get, found = once(make), list[object]()
    threads = [threading.Thread(target=lambda: found.append(get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len({id(thing) for thing in found}) == 1 and len(found) == 8
