"""Reads the figures in TensorBoard's files again and again as they grow, without the pictures beside them."""

import struct
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from training.logs import EVENTS, FOOTER, HEADER

LONGEST = 16_384  # bytes of an event with figures; pictures are longer and passed over


@dataclass
class Series:
    """One figure.

    Attributes:
        steps: where it was logged, rising.
        values: of it.
        times: when, in seconds since 1970.
        starts: which file each point is from: a file for each time that the run was continued.
    """

    steps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    times: "array[float]" = field(default_factory=lambda: array("d"))
    starts: "array[int]" = field(default_factory=lambda: array("i"))

    def add(self, step: int, value: float, time: float, start: int) -> None:
        """Adds a point; what an earlier start logged of this step and later ones goes."""
        while self.steps and self.steps[-1] >= step and self.starts[-1] != start:
            self.steps.pop()
            self.values.pop()
            self.times.pop()
            self.starts.pop()
        self.steps.append(step)
        self.values.append(value)
        self.times.append(time)
        self.starts.append(start)


class EventReader:
    """The figures of a run.

    Args:
        folder: of the files.

    Attributes:
        series: the figures by their names in TensorBoard.
        problems: a sentence for each damaged file.
    """

    def __init__(self, folder: Path) -> None:
        self.series: dict[str, Series] = defaultdict(Series)
        self.problems: dict[Path, str] = {}
        self._folder = folder
        self._read: dict[Path, int] = {}  # bytes

    def update(self) -> None:
        """Reads what was added since the last call."""
        for number, path in enumerate(sorted(self._folder.glob(EVENTS + "*"))):
            if path in self.problems:
                continue
            try:
                self._read[path] = self._rest_of(path, number)
            except Exception as error:  # the decoder has errors of its own
                place = f"after {self._read.get(path, 0)} bytes"
                self.problems[path] = f"{path} is damaged {place} ({error}); its rest is left out"

    def _rest_of(self, path: Path, number: int) -> int:
        """Reads a file from where it was read to; returns where the last whole event ends.

        Raises:
            ValueError: a checksum is wrong.
        """
        from tensorboard.compat.proto.event_pb2 import Event

        end, size = self._read.get(path, 0), path.stat().st_size
        with path.open("rb") as file:
            file.seek(end)
            while end + HEADER <= size:
                length = _length(file.read(HEADER))
                following = end + HEADER + length + FOOTER
                if following > size:
                    break  # still being written, or cut off
                if length <= LONGEST:
                    event = Event.FromString(_checked(file.read(length), file.read(FOOTER)))
                    for value in event.summary.value:
                        if value.HasField("simple_value"):
                            self.series[value.tag].add(
                                event.step, value.simple_value, event.wall_time, number
                            )
                end = following
                file.seek(end)
                self._read[path] = end
        return end


def _length(header: bytes) -> int:
    """The length of an event, which has a checksum of its own."""
    (length,) = struct.unpack("<Q", _checked(header[:8], header[8:]))
    return length


def _checked(data: bytes, checksum: bytes) -> bytes:
    """Bytes that belong to their checksum.

    Raises:
        ValueError: they do not.
    """
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    if struct.unpack("<I", checksum)[0] != masked_crc32c(data):
        raise ValueError("wrong checksum")
    return data
