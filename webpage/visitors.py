"""Who is on the page: each visitor has a folder of their own, which goes when they go."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from utils.files.download import sha256_of
from webpage.desk import OpenedPhoto
from webpage.open_album import OpenAlbum


@dataclass
class Visitor:
    """One open page.

    Attributes:
        folder: of their files.
        photo: the one that is open.
        album: photos of one person that are looked through.
        sent: what they sent, in the folder of the web server.
        given: checksums of the files that were given to them.
    """

    folder: Path
    photo: OpenedPhoto | None = None
    album: OpenAlbum | None = None
    sent: set[Path] = field(default_factory=set)
    given: set[str] = field(default_factory=set)

    @property
    def photos(self) -> Path:
        """Where the photos are kept that they want aged."""
        return self.place("photos")

    def place(self, name: str) -> Path:
        """A folder of theirs."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def emptied(self, name: str) -> Path:
        """The same without what was in it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.place(name)

    def gives(self, path: Path) -> str:
        """Remembers a file that the web server will copy for its answer; returns its name."""
        self.given.add(sha256_of(path))
        return str(path)


class Visitors:
    """All open pages.

    Args:
        served: where the web server keeps what is sent and fetched.
    """

    def __init__(self, served: Path) -> None:
        self.served = served
        self._folder = Path(tempfile.mkdtemp(prefix="agelab_visitors_"))
        self._known: dict[str, Visitor] = {}
        self._lock = Lock()

    def of(self, session: str | None) -> Visitor:
        """The visitor of a session of the web server."""
        key = session or "alone"
        with self._lock:
            if key not in self._known:
                self._known[key] = Visitor(Path(tempfile.mkdtemp(dir=self._folder)))
            return self._known[key]

    def leave(self, session: str | None) -> None:
        """Deletes all files of a visitor, the copies of the web server among them."""
        with self._lock:
            visitor = self._known.pop(session or "alone", None)
        if visitor is None:
            return
        shutil.rmtree(visitor.folder, ignore_errors=True)
        for path in self.served.rglob("*"):
            if path.is_file() and (path in visitor.sent or sha256_of(path) in visitor.given):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Deletes the files of everybody."""
        for folder in (self._folder, self.served):
            shutil.rmtree(folder, ignore_errors=True)
