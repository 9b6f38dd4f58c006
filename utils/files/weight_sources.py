"""Where weights lie on the net: plain HTTP, or Google Drive and Hugging Face with their own clients."""

import importlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from utils.errors import InputError
from utils.files.download import Expected, download, part_of, put_in_place

DRIVE_FILE = re.compile(r"https://drive\.google\.com/file/d/([\w-]+)")
DRIVE_CONTENT = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
HUGGING_FACE_FILE = re.compile(r"https://huggingface\.co/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)")


def fetch(addresses: Sequence[str], target: Path, expected: Expected) -> str:
    """Brings a file from the first address that gives it, and returns that address.

    Raises:
        InputError: none does; the reasons of all, and where to put the file by hand.
    """
    reasons = []
    for address in addresses:
        try:
            fetch_from(address, target, expected)
            return address
        except InputError as error:
            reasons.append(str(error))
    raise InputError(f"{'; '.join(reasons)}; or put the file at {target} by hand")


def fetch_from(address: str, target: Path, expected: Expected) -> None:
    """Brings a file from one address.

    Google Drive is asked through ``gdown`` and Hugging Face through ``huggingface_hub`` where these optional
    packages are installed, else both over plain HTTP.

    Raises:
        InputError: it cannot be had, or is not the expected file.
    """
    drive, hub = DRIVE_FILE.match(address), HUGGING_FACE_FILE.match(address)
    if drive and (gdown := _installed("gdown")):
        _through_gdown(gdown, drive[1], target, expected)
    elif drive:
        download(DRIVE_CONTENT.format(drive[1]), target, expected)
    elif hub and (client := _installed("huggingface_hub")):
        _through_hub(client, hub[1], hub[2], hub[3], target, expected)
    else:
        download(address, target, expected)


def _installed(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _through_gdown(gdown: Any, identifier: str, target: Path, expected: Expected) -> None:
    part = target.with_name(f".{target.name}.gdown")  # gdown takes whatever has this name for complete
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = gdown.download(id=identifier, output=str(part), resume=True)
    except Exception as error:  # gdown and requests have many
        raise InputError(f"Google Drive does not give {target.name} ({_first_line(error)})") from error
    if found is None:
        raise InputError(f"Google Drive does not give {target.name}")
    put_in_place(part, target, expected, f"Google Drive's {target.name}")


def _through_hub(
    client: Any, repository: str, revision: str, file: str, target: Path, expected: Expected
) -> None:
    folder = target.parent / ".huggingface"  # stays after a failure, so that the next call goes on
    try:
        found = client.hf_hub_download(repository, file, revision=revision, local_dir=str(folder))
    except Exception as error:
        raise InputError(
            f"huggingface.co/{repository} does not give {file} ({_first_line(error)})"
        ) from error
    part = part_of(target)
    os.replace(found, part)
    put_in_place(part, target, expected, f"huggingface.co/{repository}'s {file}")
    shutil.rmtree(folder, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
