"""What a process said and which pictures it read, kept for the report of its work."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

MOST = 1000  # of the newest are kept


@dataclass(frozen=True)
class Entry:
    """Something that happened.

    Attributes:
        time: when, in seconds since 1970.
        kind: of a note the word that begins its line; ``data`` for pictures that were read.
        content: the text of a note, or what is known of the pictures.
    """

    time: float
    kind: str
    content: Any


DATA = "data"
_entries: deque[Entry] = deque(maxlen=MOST)


def enter(kind: str, content: Any) -> None:
    """Keeps a note, or what pictures were read."""
    _entries.append(Entry(time.time(), kind, content))


def begin_anew() -> None:
    """Forgets everything: a command begins, and what others in this process said is none of its business."""
    _entries.clear()


def notes_since(begin: float = 0.0) -> list[Entry]:
    """What was said since a time, each thing once."""
    return list({(e.kind, e.content): e for e in _entries if e.time >= begin and e.kind != DATA}.values())


def data_since(begin: float = 0.0) -> list[dict[str, Any]]:
    """The data sets that were read since a time, each once, see ``datasets.faces.FaceFolder.card``."""
    found = {}
    for entry in _entries:
        if entry.time >= begin and entry.kind == DATA:
            found[entry.content["folder"], entry.content["pictures"]] = entry.content
    return list(found.values())
