"""The result of a clip in parts, each rendered, encoded and kept before the next, and joined in the end."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from inference.video.clip import Clip
from inference.video.encoding import FilmWriter, film, join_films
from inference.video.frames import Frames, Timeline
from inference.video.rendering import Renderer, Role

SEGMENT = 240  # frames of a part
Results: TypeAlias = Iterator[tuple[np.ndarray, np.ndarray]]


class Segments:
    """The parts of a clip's result, and of the clip beside it where that is wanted.

    Args:
        clip: the clip.
        timeline: when its frames are shown.
        folder: of the parts.
        coupled: whether the clip beside its result is made, too.
        crf: quality.
    """

    def __init__(self, clip: Clip, timeline: Timeline, folder: Path, coupled: bool, crf: int) -> None:
        self._clip, self._timeline, self._folder, self._crf = clip, timeline, folder, crf
        self._kinds = ("", "_coupled") if coupled else ("",)
        self._spans = parts_of(range(len(timeline)), SEGMENT)

    def clear(self) -> None:
        """Removes all parts."""
        for path in self._folder.glob("segment*"):
            path.unlink()

    def render(self, renderer: Renderer, roles: Sequence[Role], batch_size: int) -> None:
        """Makes the parts that are missing, from the first of them on.

        Raises:
            InputError: the clip cannot be read or a part cannot be written.
        """
        done = 0
        while done < len(self._spans) and all(self._path(done, kind).is_file() for kind in self._kinds):
            done += 1
        if done == len(self._spans):
            return
        first = self._spans[done].start
        batches = [batch for span in self._spans for batch in parts_of(span, batch_size)]
        batches = [batch for batch in batches if batch.stop > first - renderer.reach]
        what, count = f"ageing {self._clip.path.name}", len(self._timeline)
        with (
            tqdm(desc=what, total=count, initial=first, unit="frame") as bar,
            Frames(self._clip, batches[0].start) as frames,
        ):
            results = renderer.frames(frames, batches, first, roles)
            for number in range(done, len(self._spans)):
                self._write(number, results, bar)

    def join(self, number: int, path: Path) -> None:
        """Writes the film of all parts of one kind: 0 is the result, 1 the clip beside it.

        Raises:
            InputError: it cannot be written.
        """
        parts = [self._path(index, self._kinds[number]) for index in range(len(self._spans))]
        join_films(parts, [span.start for span in self._spans], self._timeline, self._clip, path)

    def _path(self, number: int, kind: str) -> Path:
        return self._folder / f"segment_{number:05d}{kind}.mp4"

    def _write(self, number: int, results: Results, bar: "tqdm[Any]") -> None:
        """Encodes the next frames as one part."""
        with contextlib.ExitStack() as stack:
            writers: list[FilmWriter] = []
            for _ in self._spans[number]:
                original, aged = next(results)
                shown = (aged, np.hstack([original, aged]))[: len(self._kinds)]
                if not writers:
                    films = [self._film(number, *each) for each in zip(self._kinds, shown, strict=True)]
                    writers = [stack.enter_context(one) for one in films]
                for writer, pixels in zip(writers, shown, strict=True):
                    writer.add(pixels)
                bar.update()

    def _film(
        self, number: int, kind: str, pixels: np.ndarray
    ) -> contextlib.AbstractContextManager[FilmWriter]:
        span, line = self._spans[number], self._timeline
        ticks = (line.ticks[span.start : span.stop] - line.ticks[span.start]).tolist()
        size = pixels.shape[1], pixels.shape[0]
        return film(self._path(number, kind), size, ticks, line.base, self._clip.encoded, self._crf)


def parts_of(whole: range, size: int) -> list[range]:
    """A range in parts of a size; the last may be smaller."""
    return [whole[start : start + size] for start in range(0, len(whole), size)]
