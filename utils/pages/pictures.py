"""Pictures for a page: as JPEG, each encoded once, and no more of them than fit into it."""

from collections.abc import Sequence
from pathlib import Path

from utils.errors import InputError
from utils.pages.blocks import Film, Frame
from utils.pictures.reading import open_rgb
from utils.pictures.writing import jpeg_of

BUDGET = 12_000_000  # bytes of all JPEG files of a page; as text they take a third more
SIDE = 1400  # pixels of a picture, at most
MOST = 48  # pictures of a film


class PageJPEGs:
    """JPEG files of pictures on the disk; one that nobody changed is not encoded again.

    Args:
        side: pixels of a picture, at most.
    """

    def __init__(self, side: int = SIDE) -> None:
        self._side = side
        self._known: dict[Path, tuple[tuple[int, int], bytes]] = {}
        self._used: set[Path] = set()

    def trim(self) -> None:
        """Forgets the pictures that were not asked for since the last call."""
        self._known = {path: known for path, known in self._known.items() if path in self._used}
        self._used.clear()

    def of(self, path: Path) -> bytes:
        """The content of a JPEG file of a picture.

        Raises:
            InputError: it cannot be read.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"no such picture: {path}") from error
        self._used.add(path)
        signature = status.st_mtime_ns, status.st_size
        known = self._known.get(path)
        if known is None or known[0] != signature:
            known = self._known[path] = signature, jpeg_of(open_rgb(path), self._side)
        return known[1]

    def film(
        self, title: str, pictures: Sequence[tuple[str, Path]], budget: int = BUDGET, group: str = ""
    ) -> Film:
        """A film of pictures with labels, in their order.

        Where they are too many it shows every second, fourth ... of them and the last one, so that what is
        left out stays so as a training goes on; at the least the last one. Pictures that cannot be read are
        left out, which is said.

        Args:
            title: of the film.
            pictures: label and file of each.
            budget: bytes that they may take.
            group: see :class:`Film`.
        """
        step = 1
        while len(pictures) > MOST * step:
            step *= 2
        shown, broken = self._frames(_every(pictures, step))
        while step < len(pictures) and _size(shown) > budget:
            step *= 2
            shown, broken = self._frames(_every(pictures, step))
        if _size(shown) > budget:
            shown = shown[-1:]
        note = f"{len(shown)} of {len(pictures)} pictures, evenly" if step > 1 else ""
        return Film(title, shown, "; ".join(filter(None, [note, *broken])), group)

    def _frames(self, pictures: Sequence[tuple[str, Path]]) -> tuple[list[Frame], list[str]]:
        frames, broken = [], []
        for label, path in pictures:
            try:
                frames.append(Frame(label, self.of(path)))
            except InputError as error:
                broken.append(str(error))
        return frames, broken


def _size(frames: Sequence[Frame]) -> int:
    return sum(len(frame.jpeg) for frame in frames)


def _every(pictures: Sequence[tuple[str, Path]], step: int) -> list[tuple[str, Path]]:
    """Every so many of them, and the last one."""
    chosen = list(pictures[::step])
    return chosen if not pictures or chosen[-1] == pictures[-1] else [*chosen, pictures[-1]]
