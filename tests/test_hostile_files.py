"""Hostile weight files: refused before they cost memory or time, and nothing outside is touched."""

import io
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nvidia_toys
import pytest
import torch
from toy_networks import SMALL_VGG, network_file, tiny_psp

from models.aging_model import load_aging_model
from models.auxiliary import load_age_classifier
from models.psp_files import psp_checkpoint
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.files.safe_pickle import SafeUnpickler

ROOT = Path(__file__).resolve().parents[1]
FLOATS = b"ctorch\nFloatStorage\n"


def archive(path: Path, code: bytes, storages: dict[str, bytes] | None = None, **members: bytes) -> Path:
    """A file as torch.save writes them, with a pickle of one's own."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", code)
        file.writestr("archive/byteorder", b"little")
        for key, data in {**(storages or {}), **members}.items():
            file.writestr(f"archive/data/{key}", data)
    return path


def tensor_code(count: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A pickle of {'w': tensor} over the storage '0', as it declares itself."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    storage = b"(S'storage'\n" + FLOATS + b"S'0'\nS'cpu'\nI%d\ntQ" % count
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    flags = b"I00\nccollections\nOrderedDict\n)RtR"
    return (
        b"}S'w'\n" + rebuild + storage + b"I%d\n" % offset + numbers(size) + numbers(stride) + flags + b"s."
    )


SIXTEEN = {"0": b"\0" * 16}
DEEP_TUPLES = b"}" + b")" + b"\x85" * 150_000 + b"I1\ns."
PICKLES: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "larger than its storage": (tensor_code(4, (10**9,), (1,)), SIXTEEN),
    "declares what it has not": (tensor_code(10**9, (10**9,), (1,)), SIXTEEN),
    "huge strides": (tensor_code(4, (2, 2), (10**15, 1)), SIXTEEN),
    "negative strides": (tensor_code(4, (4,), (-1,), 3), SIXTEEN),
    "negative offset": (tensor_code(4, (2,), (1,), -10), SIXTEEN),
    "one number a billion times": (tensor_code(4, (10**9,), (0,)), SIXTEEN),
    "beyond all integers": (tensor_code(4, (2**70, 2**70), (0, 0)), SIXTEEN),
    "a thousand dimensions": (tensor_code(4, (1,) * 1000, (1,) * 1000), SIXTEEN),
    "a storage outside": (tensor_code(4, (4,), (1,)).replace(b"S'0'", b"S'../../etc/passwd'"), SIXTEEN),
    "parts nobody needs": (tensor_code(4, (4,), (1,)), {**SIXTEEN, "1": b"\0" * 16}),
    "bytes out of nothing": (b"c__builtin__\nbytearray\n(I10000000000\ntR.", {}),
    "huge bytes": (b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.", {}),
    "a huge byte array": (b"\x96" + struct.pack("<Q", 1 << 33) + b"x.", {}),
    "a far place in the memo": (b"]r\xff\xff\xff\xff.", {}),
    "nested lists": (b"}S'a'\n" + b"]" * 100_000 + b"a" * 99_999 + b"s.", {}),
    "nested tuples as a key": (DEEP_TUPLES, {}),
    "nested tuples in a set": (b"c__builtin__\nset\n(](" + DEEP_TUPLES[1:-4] + b"etR.", {}),
    "a list in itself": (b"}S'a'\n]q\0h\0as.", {}),
    "doubling": (b"}S'a'\n]" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(100)) + b"s.", {}),
    "millions of lists": (b"}S'a'\n(" + b"]" * 700_000 + b"ls.", {}),
    "a long number": (b"}S'a'\n\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b"s.", {}),
    "a call of text": (b"S'os.system'\n(S'true'\ntR.", {}),
    "a change of the reader": (b"ctorch._utils\n_rebuild_tensor_v2\n}S'make'\nI1\nsb.", {}),
    "an instance": (b"(S'true'\nios\nsystem\n.", {}),
    "nothing": (b"", {}),
    "no end": (b"}", {}),
}


@pytest.mark.parametrize("what", PICKLES)
def test_hostile_pickle_in_an_archive(tmp_path: Path, what: str) -> None:
    code, storages = PICKLES[what]
    path = archive(tmp_path / "hostile.pt", code, storages)
    with pytest.raises(InputError, match=r"hostile\.pt") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("what", PICKLES)
def test_hostile_pickle_of_networks(tmp_path: Path, what: str) -> None:
    path = tmp_path / "hostile.pkl"
    path.write_bytes(PICKLES[what][0] or b"\x80")
    with pytest.raises(InputError, match=r"hostile\.pkl"):
        load_checkpoint(path)


def test_sound_pickle_made_by_hand_passes() -> None:
    """What the hostile ones differ from."""
    code = io.BytesIO(tensor_code(4, (2, 2), (2, 1)))
    content = SafeUnpickler(code, lambda key, size: torch.UntypedStorage(size, device="meta")).load()
    assert content["w"].shape == (2, 2) and content["w"].is_meta


# ---------------------------------------------------------------- archives


def rewritten(path: Path, change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None]) -> Path:
    """An archive made again by hand from a sound one."""
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, path.with_name("sound.pt"))
    with zipfile.ZipFile(path.with_name("sound.pt")) as old, zipfile.ZipFile(path, "w") as new:
        change(old, new)
    return path


def test_archives_of_another_make(tmp_path: Path) -> None:
    def compressed(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)

    def doubled(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for name in [*old.namelist(), "sound/data/0"]:
            new.writestr(name, old.read(name))

    def outside(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for name in old.namelist():
            new.writestr(name.replace("sound/data/0", "../../escaped"), old.read(name))

    def script(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("sound/constants.pkl", b"")

    path = tmp_path / "odd" / "odd.pt"
    path.parent.mkdir()
    for change in (compressed, doubled, outside, script):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the doubled name
            rewritten(path, change)
        with pytest.raises(InputError, match=r"odd\.pt is damaged or is not"):
            load_checkpoint(path)
    assert {item.name for item in tmp_path.rglob("*")} == {"odd", "odd.pt", "sound.pt"}


def test_parts_over_one_another(tmp_path: Path) -> None:
    """A thousand entries of the table of contents that all lead to the same bytes."""
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, tmp_path / "sound.pt")
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as new:
        new.writestr("archive/data.pkl", b"}.")
        for index in range(1000):
            info = zipfile.ZipInfo(f"archive/data/{index}")
            info.header_offset = info.CRC = 0
            info.file_size = info.compress_size = 10
            new.filelist.append(info)
            new.NameToInfo[info.filename] = info
    with pytest.raises(InputError, match="lie over one another|doubled|nothing refers"):
        load_checkpoint(tmp_path / "odd.pt")


# ---------------------------------------------------------------- safetensors


@pytest.mark.parametrize(
    "header",
    [
        b"{" * 50_000,
        b'{"a":' * 50_000,
        b'{"__metadata__":{"agelab":"' + b"[" * 50_000 + b'"}}',
        b'{"__metadata__":{"agelab":"[1]"}}',
        b'{"__metadata__":{"top_level_tensors":"7"}}',
        b'{"__metadata__":{"top_level_tensors":"[{}]"}}',
        b'{"__metadata__":{"agelab":"{\\"opts\\":' + b"9" * 5000 + b'}"}}',
        b'{"__metadata__":{"agelab":"{\\"state_dict\\":7}"}}',
        b'{"__metadata__":7}',
        b'{"w":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}',
        b'{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
        b'{"w":{"dtype":"C64","shape":[0],"data_offsets":[0,0]}}',
        b"{}",
        b"{" + b" " * (1 << 25) + b"}",
    ],
)
def test_hostile_safetensors(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match=r"hostile\.safetensors") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    path.write_bytes((1 << 62).to_bytes(8, "little") + header[:1000])
    with pytest.raises(InputError, match=r"hostile\.safetensors is damaged"):
        load_checkpoint(path)


# ---------------------------------------------------------------- networks


def test_networks_inside_themselves(tmp_path: Path) -> None:
    """Forty layers, each twice in the next: a trillion of them when walked."""
    path = tmp_path / "circle.pkl"
    layers = nvidia_toys.module({"fc.weight": torch.zeros(2, 2)}, "G")
    for _ in range(40):
        layers = nvidia_toys.Persistent("Layer", {"_modules": {"a": layers, "b": layers}})
    nvidia_toys.write_pickle(path, G_ema=layers)
    with pytest.raises(InputError, match=r"circle\.pkl is damaged .*inside themselves"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 1 << 20},
        {"size": 1 << 12, "channels": None},
        {"style_dim": 1 << 20},
        {"n_mlp": 10**9},
        {"n_mlp": 64, "style_dim": 10_000},
        {"channels": {4: 10**6, 8: 10**6, 16: 10**6}},
        {"c_dim": 10**6},
        {"size": -16},
        {"size": float("nan")},
        {"size": "16"},
        {"n_mlp": [[2]]},
        {"unknown": 1},
        {"blur_kernel": [1] * 10**4},
    ],
)
def test_architectures_beyond_the_weights(tmp_path: Path, change: dict[str, Any]) -> None:
    content = psp_checkpoint(tiny_psp(seed=0))
    content["opts"]["architecture"]["generator"].update(change)
    torch.save(content, tmp_path / "large.pt")
    with pytest.raises(InputError, match=r"large\.pt.*(describes no network|does not fit)"):
        load_aging_model(tmp_path / "large.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 10**6},
        {"input_size": 10**9},
        {"channels": [10**5] * 5},
        {"depths": [10**6] * 5},
        {"depths": 7},
        {"num_classes": "101"},
        {"network": ["vgg"]},
        {"network": "os.system"},
    ],
)
def test_other_architectures_beyond_the_weights(tmp_path: Path, change: dict[str, Any]) -> None:
    content = network_file("age_classifier", SMALL_VGG)
    torch.save({**content, "architecture": {**content["architecture"], **change}}, tmp_path / "large.pt")
    with pytest.raises(InputError, match=r"large\.pt"):
        load_age_classifier(tmp_path / "large.pt")


PEAK = """
import sys, resource
sys.path[:0] = [{root!r}]
from models.aging_model import load_aging_model
from utils.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        load_aging_model(path)
    except InputError:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures with getrusage")
def test_hostile_files_take_little_memory(tmp_path: Path) -> None:
    """All of them in one process: less than 600 MB, where single ones ask for terabytes."""
    paths = []
    for index, (code, storages) in enumerate(PICKLES.values()):
        paths.append(archive(tmp_path / f"{index}.pt", code, storages))
    content = psp_checkpoint(tiny_psp(seed=0))
    for index, change in enumerate(({"size": 4096, "channels": None}, {"style_dim": 1 << 20})):
        sizes = {**content["opts"]["architecture"]["generator"], **change}
        opts = {**content["opts"], "architecture": {**content["opts"]["architecture"], "generator": sizes}}
        torch.save({**content, "opts": opts}, tmp_path / f"large_{index}.pt")
        paths.append(tmp_path / f"large_{index}.pt")
    code = PEAK.format(root=str(ROOT))
    command = [sys.executable, "-c", code, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert int(result.stdout.split()[-1]) < 600
