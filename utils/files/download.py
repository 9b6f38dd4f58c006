"""Downloads one file: resumed after an interruption, checked, and put in place only when it is whole."""

import contextlib
import hashlib
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from utils.errors import InputError, explained
from utils.files.writing import written_atomically

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 4  # of a download that breaks off
# What a transfer can break off with.
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand; None where nothing is."""

    size: int | None = None
    sha256: str | None = None


class _OutdatedPartError(Exception):
    """The beginning that lies here does not belong to the file of the server."""


def download(url: str, target: Path, expected: Expected | None = None, pause: float = 2.0) -> Path:
    """Brings a file over HTTP(S).

    What has arrived lies beside the target as ``.NAME.part``; the next call goes on from there where the
    server can (HTTP Range), else starts afresh. A transfer that breaks off is resumed a few times.

    Args:
        url: where the file is.
        target: where it goes.
        expected: size and checksum to check against.
        pause: seconds before the first new attempt; doubled for each further one.

    Raises:
        InputError: there is no connection, the server refuses, or what came is not the expected file. A part
            that may be continued stays.
    """
    expected = expected or Expected()
    part = part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_whole(url, part, expected, pause)
        put_in_place(part, target, expected, url)
    except OSError as error:
        raise InputError(f"cannot write {target}: {explained(error) or error}") from error
    return target


def part_of(target: Path) -> Path:
    """Where a file lies until it is whole."""
    return target.with_name(f".{target.name}.part")


def difference(path: Path, expected: Expected) -> str:
    """What is wrong with a file, in words; nothing if it is as expected or nothing is known."""
    size = path.stat().st_size
    if expected.size is not None and size != expected.size:
        return f"it has {size} bytes instead of {expected.size}"
    if expected.sha256 is not None and (found := sha256_of(path)) != expected.sha256:
        return f"its SHA-256 is {found} instead of {expected.sha256}"
    return ""


def put_in_place(part: Path, target: Path, expected: Expected, source: str) -> None:
    """Checks a file that has arrived and gives it its name; removes one that differs.

    Raises:
        InputError: size or checksum differ.
    """
    if problem := difference(part, expected):
        _forget(part)
        raise InputError(f"{source} is not the expected file: {problem}; it was not kept")
    with written_atomically(target) as temporary:
        part.replace(temporary)
    _note(part).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Checksum of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file, _bar(f"checking {path.name}", path.stat().st_size) as bar:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _fetch_whole(url: str, part: Path, expected: Expected, pause: float) -> None:
    """Fetches until the whole file is there."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch(url, part, expected)
            return
        except _OutdatedPartError:
            _forget(part)
        except BROKEN as error:
            if attempt == ATTEMPTS:
                have = part.stat().st_size if part.exists() else 0
                raise InputError(
                    f"{url} broke off after {have} bytes ({error or type(error).__name__}); "
                    f"the same command goes on there"
                ) from error
            time.sleep(pause * 2 ** (attempt - 1))
    raise InputError(f"{url} keeps sending something else than the part in {part}; try again later")


def _fetch(url: str, part: Path, expected: Expected) -> None:
    """One request: the whole file, or what is missing of it."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == expected.size:
        return
    headers = {"User-Agent": "AgeLab", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        with contextlib.suppress(OSError):
            headers["If-Range"] = (
                _note(part).read_text(encoding="utf-8").strip()
            )  # else the server sends all of a changed file
    with _open(url, headers) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _OutdatedPartError
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isascii() and length.isdigit() else None
        _check_announced(url, response.headers.get_content_type(), total, expected)
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise InputError(f"{part.parent} has no room for the {total - have} bytes of {url}")
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if validator and not validator.startswith("W/"):
            _note(part).write_text(validator, encoding="utf-8", errors="replace")
        with part.open("ab" if resumed else "wb") as file, _bar(part.name[1:-5], total, have) as bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and part.stat().st_size < total:
        raise ConnectionError("the connection was closed early")


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            raise _OutdatedPartError from error
        if error.code >= 500 or error.code == http.client.TOO_MANY_REQUESTS:
            raise ConnectionError(f"HTTP {error.code}") from error
        raise InputError(f"{url} cannot be had: HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, (TimeoutError, ConnectionResetError)):
            raise ConnectionError(str(error.reason)) from error
        raise InputError(
            f"no connection to {urlsplit(url).netloc} ({error.reason}); on a machine without network, copy "
            f"the file from another one"
        ) from error
    except ValueError as error:
        raise InputError(f"{url} is not an address of a file") from error


def _check_announced(url: str, kind: str, total: int | None, expected: Expected) -> None:
    """Looks at the head of an answer before its body is fetched."""
    if kind == "text/html":
        raise InputError(
            f"{urlsplit(url).netloc} answered with a web page instead of the file (a quota, or a login is "
            f"needed); download it in a browser from {url}"
        )
    if None not in (total, expected.size) and total != expected.size:
        raise InputError(f"{url} is not the expected file: {total} bytes instead of {expected.size}")


def _bar(name: str, total: int | None, done: int = 0) -> tqdm:
    return tqdm(desc=name, total=total, initial=done, unit="B", unit_scale=True, disable=None)


def _note(part: Path) -> Path:
    """The file that says which version of the remote file a part belongs to."""
    return part.with_suffix(".version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
