"""Downloads against a file server on this machine: resumed, restarted, refused, checked; and the script."""

import hashlib
import http.server
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.weights import WEIGHTS, Weight
from models import weights_folder
from utils.errors import InputError
from utils.files import download as download_module
from utils.files import weight_sources
from utils.files.download import Expected, download

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
import download_weights

DATA = bytes(range(256)) * 4000  # a megabyte
SHA256 = hashlib.sha256(DATA).hexdigest()
WHOLE = Expected(len(DATA), SHA256)


class Server(http.server.ThreadingHTTPServer):
    """Serves ``/file`` from memory and can be told to misbehave.

    Attributes:
        content: the bytes of the file.
        ranges: whether HTTP Range is understood.
        cut: for each of the next answers, after how many bytes the connection is closed.
        requests: the ``Range`` header of every request, in order.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = DATA
        self.ranges = True
        self.cut: list[int] = []
        self.tag = '"first"'
        self.kind = "application/octet-stream"
        self.status = 200
        self.requests: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append(wanted)
        if server.status != 200 or self.path.rpartition("/")[2] not in ("file", "weights.pt"):
            self.send_error(server.status if server.status != 200 else 404)
            return
        start, status = 0, 200
        if wanted and server.ranges and self.headers.get("If-Range", server.tag) == server.tag:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(server.content):
                self.send_error(416)
                return
        body = server.content[start:]
        self.send_response(status)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(body)))
        if server.tag:
            self.send_header("ETag", server.tag)
        if status == 206:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        self.end_headers()
        self.wfile.write(body[: server.cut.pop(0)] if server.cut else body)

    def log_message(self, *_: object) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def fetch(server: Server, folder: Path, expected: Expected = WHOLE) -> Path:
    return download(server.url, folder / "new" / "weights.pt", expected, pause=0.0)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "new").iterdir())


def test_plain_download(server: Server, tmp_path: Path) -> None:
    path = fetch(server, tmp_path)
    assert path.read_bytes() == DATA and left(tmp_path) == ["weights.pt"]
    assert server.requests == [None]


def test_content_and_name_are_flushed_to_the_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[bool] = []
    flush = os.fsync

    def noted(handle: int) -> None:
        folders.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        flush(handle)

    monkeypatch.setattr(os, "fsync", noted)
    fetch(server, tmp_path)
    assert folders[0] is False and folders[-1] is True  # the folder last: it holds the name


def test_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut = [300_000, 200_000]
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert server.requests == [None, "bytes=300000-", "bytes=500000-"]
    assert left(tmp_path) == ["weights.pt"]


def test_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.cut = [100_000] * download_module.ATTEMPTS
    with pytest.raises(InputError, match=r"broke off after 400000 bytes .* the same command goes on there"):
        fetch(server, tmp_path)
    assert not (tmp_path / "new" / "weights.pt").exists()
    assert ".weights.pt.part" in left(tmp_path)
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert server.requests[-1] == "bytes=400000-"


def test_server_without_range_starts_afresh(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cut = False, [300_000]
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert server.requests == [None, "bytes=300000-"]


def test_file_that_changed_meanwhile_starts_afresh(server: Server, tmp_path: Path) -> None:
    server.cut = [100_000] * download_module.ATTEMPTS
    with pytest.raises(InputError):
        fetch(server, tmp_path, Expected())
    server.content, server.tag = DATA[::-1], '"second"'
    assert fetch(server, tmp_path, Expected()).read_bytes() == DATA[::-1]


def test_part_that_is_too_long_is_thrown_away(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "new" / ".weights.pt.part"
    part.parent.mkdir()
    part.write_bytes(DATA + b"more")
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert server.requests == [f"bytes={len(DATA) + 4}-", None]


def test_complete_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "new" / ".weights.pt.part"
    part.parent.mkdir()
    part.write_bytes(DATA)
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert server.requests == []


def test_wrong_beginning_is_found_by_the_checksum(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "new" / ".weights.pt.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="its SHA-256 is"):
        fetch(server, tmp_path)
    assert left(tmp_path) == []
    assert fetch(server, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (Expected(len(DATA), "0" * 64), f"SHA-256 is {SHA256} instead of 0000"),
        (Expected(len(DATA) + 1, None), f"{len(DATA)} bytes instead of {len(DATA) + 1}"),
    ],
)
def test_other_file_is_not_kept(server: Server, tmp_path: Path, expected: Expected, message: str) -> None:
    target = tmp_path / "new" / "weights.pt"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(InputError, match=message):
        fetch(server, tmp_path, expected)
    assert left(tmp_path) == ["weights.pt"] and target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": 404}, "cannot be had: HTTP 404"),
        ({"status": 403}, "cannot be had: HTTP 403"),
        ({"status": 503}, r"broke off after 0 bytes \(HTTP 503\)"),
        ({"kind": "text/html"}, "answered with a web page instead of the file"),
    ],
)
def test_refusals_are_explained(server: Server, tmp_path: Path, change: dict, message: str) -> None:
    vars(server).update(change)
    with pytest.raises(InputError, match=message):
        fetch(server, tmp_path)
    assert left(tmp_path) == []


def test_without_network_the_message_says_so(server: Server, tmp_path: Path) -> None:
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"no connection to 127\.0\.0\.1:\d+ .* copy the file"):
        download(url, tmp_path / "weights.pt", WHOLE, pause=0.0)
    with pytest.raises(InputError, match="is not an address"):
        download("weights.pt", tmp_path / "weights.pt")


def test_full_disk_and_folder_that_cannot_be_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="has no room for the 1024000 bytes"):
        fetch(server, tmp_path)
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        download(server.url, tmp_path / "blocked" / "weights.pt", WHOLE)


# ---------------------------------------------------------------- Google Drive and Hugging Face


DRIVE = "https://drive.google.com/file/d/abc-1_2"
HUB = "https://huggingface.co/owner/name/resolve/main/weights.pt"


def test_drive_and_hub_without_their_packages(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(weight_sources, "_installed", lambda _: None)
    monkeypatch.setattr(weight_sources, "download", lambda url, *_: asked.append(url))
    weight_sources.fetch_from(DRIVE, tmp_path / "weights.pt", WHOLE)
    weight_sources.fetch_from(HUB, tmp_path / "weights.pt", WHOLE)
    assert asked == [
        "https://drive.usercontent.google.com/download?id=abc-1_2&export=download&confirm=t",
        HUB,
    ]


def test_clients_of_drive_and_hub_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        data = DATA

        def download(self, id: str, output: str, resume: bool) -> str:  # noqa: A002
            assert (id, resume) == ("abc-1_2", True)
            Path(output).write_bytes(self.data)
            return output

        def hf_hub_download(self, repository: str, file: str, revision: str, local_dir: str) -> str:
            assert (repository, file, revision) == ("owner/name", "weights.pt", "main")
            Path(local_dir).mkdir()
            (Path(local_dir) / file).write_bytes(self.data)
            return str(Path(local_dir) / file)

    client, target = Client(), tmp_path / "weights.pt"
    monkeypatch.setattr(weight_sources, "_installed", lambda _: client)
    for address in (DRIVE, HUB):
        weight_sources.fetch_from(address, target, WHOLE)
        assert target.read_bytes() == DATA
        assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]
        target.unlink()
    client.data = b"quota exceeded"
    with pytest.raises(InputError, match=r"Drive's weights\.pt is not the expected file"):
        weight_sources.fetch_from(DRIVE, target, WHOLE)
    client.download = lambda **_: None  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"Drive does not give weights\.pt"):
        weight_sources.fetch_from(DRIVE, target, WHOLE)
    assert not target.exists()


# ---------------------------------------------------------------- the script


@pytest.fixture
def small_table(monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, Weight]:
    common = {"licence": "anything goes", "input_size": 8, "normalisation": "RGB", "megabytes": 1}
    weight = Weight("pretrained_models/weights.pt", server.url, size=len(DATA), sha256=SHA256, **common)
    gone = Weight("pretrained_models/gone.pt", server.url + "/gone", mirrors=(server.url + "/too",), **common)
    table = {"weights": weight, "gone": gone}
    monkeypatch.setattr(weights_folder, "OFFICIAL", table)
    return table


def test_script_downloads_once_and_checks(
    small_table: dict[str, Weight], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["weights", f"--root={tmp_path}"]
    download_weights.main(command)
    assert (tmp_path / "weights.pt").read_bytes() == DATA
    assert "licence: anything goes" in capsys.readouterr().out
    download_weights.main(command)
    assert "is there (checksum is right)" in capsys.readouterr().out and len(server.requests) == 1
    (tmp_path / "weights.pt").write_bytes(b"damaged")
    with pytest.raises(InputError, match="1 of 1 files are missing"):
        download_weights.main(command)
    assert "--force downloads it again" in capsys.readouterr().err
    download_weights.main([*command, "--force"])
    assert (tmp_path / "weights.pt").read_bytes() == DATA


def test_script_goes_on_after_a_failure_and_names_the_place(
    small_table: dict[str, Weight], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="1 of 2 files are missing: gone"):
        download_weights.main(["gone", "weights", f"--root={tmp_path}"])
    assert (tmp_path / "weights.pt").exists()
    error = capsys.readouterr().err
    assert error.count("HTTP 404") == 2 and f"put the file at {tmp_path / 'gone.pt'} by hand" in error


def test_script_takes_a_mirror_and_skips_the_check(
    small_table: dict[str, Weight], server: Server, tmp_path: Path
) -> None:
    server.content = DATA[::-1]
    mirror = f"--mirror={server.url.removesuffix('/file')}/"
    with pytest.raises(InputError):
        download_weights.main(["weights", f"--root={tmp_path}", mirror])
    download_weights.main(["weights", f"--root={tmp_path}", mirror, "--no_check"])
    assert (tmp_path / "weights.pt").read_bytes() == DATA[::-1]


def test_script_lists_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ffhq.pkl").touch()
    download_weights.main(["--list", f"--root={tmp_path}"])
    shown = capsys.readouterr().out
    assert "stylegan2_ada_ffhq: here" in shown and "sam_ffhq_aging: not here" in shown
    official = [weight for weight in WEIGHTS.values() if not weight.bundled]
    assert shown.count("licence") == len(official) and "demo" not in shown
    assert len(re.findall(r"sha256 +[0-9a-f]{64}", shown)) == sum(w.sha256 is not None for w in official)


def test_sizes_of_the_table_agree() -> None:
    for name, weight in WEIGHTS.items():
        assert weight.size is None or round(weight.size / 1e6) == weight.megabytes, name
        assert all(address.endswith((".pt", ".pth", ".pkl")) for address in weight.mirrors), name


def test_script_asks_for_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the weights, or say --all"):
        download_weights.main([f"--root={tmp_path}"])
    with pytest.raises(InputError, match=r"no weights called 'sam'; there are sam_ffhq_aging"):
        download_weights.main(["sam", f"--root={tmp_path}"])


def test_folder_of_the_environment_is_used_everywhere(tmp_path: Path) -> None:
    import subprocess

    root = Path(__file__).resolve().parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        "from configs.paths_config import model_paths as p; print(p['ir_se50'], p['demo_sam'])"
    )
    env = {**os.environ, "AGELAB_WEIGHTS": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert result.stdout.split() == [
        str(tmp_path / "model_ir_se50.pth"),
        str(root / "pretrained_models" / "demo" / "sam.pt"),
    ]
