"""Files are written whole or not at all, whatever happens, and what killed processes left is removed."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from utils.errors import InputError
from utils.files import checkpoints, writing
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.writing import (
    TEMPORARY,
    folder_written_atomically,
    remove_stale,
    write_json,
    write_text,
    written_atomically,
)

posix = pytest.mark.skipif(os.name != "posix", reason="processes and devices of Unix")


@pytest.fixture(autouse=True)
def _every_write_looks() -> None:
    remove_stale.cache_clear()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def rest(folder: Path, process: int, machine: str | None = None, age: float = 0) -> Path:
    path = folder / f".agelab-{machine or writing._machine()}-{process}-{os.urandom(4).hex()}.pt"
    path.write_bytes(b"half a file")
    os.utime(path, (time.time() - age,) * 2)
    return path


@posix
def test_rests_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead = rest(tmp_path, dead_process())
    old = rest(tmp_path, 7, machine="0badcafe", age=3 * 24 * 3600)
    kept = [
        rest(tmp_path, os.getppid(), age=3 * 24 * 3600),
        rest(tmp_path, os.getpid()),
        rest(tmp_path, 7, machine="0badcafe", age=3600),
    ]
    kept += [tmp_path / name for name in (".agelab-notes.txt", ".hidden", ".agelab-12-34-56.pt")]
    for path in kept[3:]:
        path.write_text("of the user")
    write_text("new", tmp_path / "new.txt")
    assert not dead.exists() and not old.exists()
    assert names(tmp_path) == sorted([*(path.name for path in kept), "new.txt"])


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from utils.files.writing import written_atomically
with written_atomically({path!r}) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_killed_writer_leaves_the_old_file_and_a_rest_that_goes(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    root = str(Path(__file__).resolve().parents[1])
    subprocess.run([sys.executable, "-c", KILLED.format(root=root, path=str(path))], check=False)
    (left,) = [name for name in names(tmp_path) if name != "model.pt"]
    assert path.read_bytes() == b"old" and TEMPORARY.match(left) and left.endswith(".pt")
    with written_atomically(path) as temporary:
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["model.pt"] and path.read_bytes() == b"new"


def test_folder_is_looked_through_once(tmp_path: Path) -> None:
    write_text("a", tmp_path / "a")
    left = rest(tmp_path, 7, machine="0badcafe", age=3 * 24 * 3600)
    write_text("b", tmp_path / "b")
    assert left.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), RuntimeError("x"), MemoryError()])
def test_whatever_is_raised_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.pt").write_bytes(b"old")
    with pytest.raises(type(error)), written_atomically(tmp_path / "a.pt") as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert names(tmp_path) == ["a.pt"] and (tmp_path / "a.pt").read_bytes() == b"old"


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT, errno.EFBIG]
)
def test_system_errors_are_one_sentence(tmp_path: Path, code: int) -> None:
    refused = pytest.raises(InputError, match=r"cannot write .*a\.txt: ")
    with refused as caught, written_atomically(tmp_path / "a.txt"):
        raise OSError(code, os.strerror(code))
    assert os.strerror(code) in str(caught.value) and "\n" not in str(caught.value) and not names(tmp_path)


@posix
@pytest.mark.parametrize(
    "name", ["x" * 300, "x" * 300 + ".pt", "a.pt/b.pt", "x\0y", "folder", "pipe", "x" * 250]
)
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pt").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    if len(name) == 250:
        write_text("fits", tmp_path / name)
        return
    started = False
    with pytest.raises(InputError, match="cannot write"), written_atomically(tmp_path / name):
        started = True
    assert not started and names(tmp_path) == before


@posix
def test_devices_stay_devices() -> None:
    for device in ("/dev/null", "/dev/full"):
        with pytest.raises(InputError, match="a device or a pipe"):
            write_text("x", device)
        assert Path(device).is_char_device()


def test_text_with_names_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(b"gr\xf6\xdfe.png")
    assert "gr" in write_text(f"{odd}\n", tmp_path / "a.txt").read_text(encoding="utf-8")
    assert "gr" in write_json({"names": [odd], odd: 1}, tmp_path / "a.json").read_text(encoding="utf-8")


# ---------------------------------------------------------------- checkpoints


class Odd:
    """No part of a checkpoint."""


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "value", [lambda: 1, Odd(), Odd, open, {"a": {"b": Odd()}}, torch.zeros(2).to_sparse()]
)
def test_content_that_cannot_be_stored(tmp_path: Path, suffix: str, value: Any) -> None:
    path = save_checkpoint({"state_dict": {"w": torch.ones(1)}}, tmp_path / f"a{suffix}")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"cannot write .*a\."):
        save_checkpoint({"state_dict": {"w": torch.ones(1)}, "opts": {"value": value}}, path)
    assert path.read_bytes() == before and names(tmp_path) == [path.name]


def test_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint({"state_dict": {"w": torch.ones(1)}}, tmp_path / "a.pt")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint({"state_dict": {"w": torch.zeros(1)}}, path)
    assert load_checkpoint(path)["state_dict"]["w"].item() == 1 and names(tmp_path) == ["a.pt"]


def test_what_was_written_wrongly_does_not_take_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk or memory that changes a bit on the way."""
    path = save_checkpoint({"state_dict": {"w": torch.ones(1000)}}, tmp_path / "a.pt")
    before, save = path.read_bytes(), torch.save

    def faulty(content: Any, file: Any) -> None:
        save(content, file)
        file.seek(2000)
        file.write(b"\xff")

    monkeypatch.setattr(checkpoints.torch, "save", faulty)
    with pytest.raises(InputError, match=r"cannot write .*a\.pt: what was written cannot be read back"):
        save_checkpoint({"state_dict": {"w": torch.zeros(1000)}}, path)
    assert path.read_bytes() == before and names(tmp_path) == ["a.pt"]


# ---------------------------------------------------------------- folders


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    for content in ("first", "second"):
        with folder_written_atomically(target) as temporary:
            (temporary / "a.txt").write_text(content)
            assert names(target.parent) != ["folder"] or content == "second"
        assert (target / "a.txt").read_text() == content and names(target.parent) == ["folder"]
    with pytest.raises(ValueError, match="bad"), folder_written_atomically(target) as temporary:
        (temporary / "a.txt").write_text("third")
        raise ValueError("bad")
    assert (target / "a.txt").read_text() == "second" and names(target.parent) == ["folder"]
    (tmp_path / "file").write_text("")
    below = folder_written_atomically(tmp_path / "file" / "folder")
    with pytest.raises(InputError, match="cannot write .*file/folder"), below:
        pass


def test_an_old_folder_stays_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, original = tmp_path / "folder", Path.replace
    target.mkdir()
    (target / "old.txt").write_text("old")

    def refusing(self: Path, to: Path) -> Path:
        if to == target and not self.name.endswith(".old"):
            raise OSError(errno.EACCES, "no")
        return original(self, to)

    monkeypatch.setattr(Path, "replace", refusing)
    with pytest.raises(InputError, match="cannot write"), folder_written_atomically(target) as temporary:
        (temporary / "new.txt").write_text("new")
    assert names(target) == ["old.txt"] and names(tmp_path) == ["folder"]


@posix
def test_folders_of_dead_processes_go(tmp_path: Path) -> None:
    left = rest(tmp_path, dead_process()).with_suffix(".old")
    left.mkdir()
    (left / "half.onnx").write_text("half")
    write_text("new", tmp_path / "new.txt")
    assert names(tmp_path) == ["new.txt"]
