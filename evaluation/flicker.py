"""How much an aged clip flickers beside its input, and how its faces move, how old and who they are."""

import contextlib
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from evaluation.markdown import markdown_table, number
from evaluation.report import write_report
from inference.video.analysis import Analysis, Settings, analyse
from inference.video.clip import Clip, open_clip
from inference.video.frames import Frames
from inference.video.rendering import as_images
from models.judges import load_judges
from options.evaluate_video_options import VideoEvaluationOptions
from utils.device import select_device
from utils.errors import InputError
from utils.faces.alignment import CROPS, anchor_square, warp_square
from utils.faces.masks import oval_mask
from utils.files.outputs import refuse_overwriting, require_writable
from utils.pictures.curves import Curve, Panel, draw_panels
from utils.pictures.writing import save_pil
from utils.spacing import EvenSamples

SIDE = 128  # pixels of the stabilised face that is looked at
BLUR = 2.0  # of these, a deviation: grain, of the sensor or of the encoder, is not flicker
CHANGE_SECONDS = 0.2  # over which the movement of a face is compared
JUDGED = 32  # faces of each clip that the judges see, or up to twice as many
REPORT, CURVES = "flicker", "flicker.png"
CROP = CROPS["tight"]


def flicker(before: np.ndarray, now: np.ndarray, after: np.ndarray, inside: np.ndarray) -> float:
    """How far a picture lies off the mean of those before and after it: levels of 255, mean over a face.

    Args:
        before, now, after: float (S, S, 3), a face brought to one place.
        inside: bool (S, S), where it is.
    """
    return float(np.abs(now - 0.5 * (before + after))[inside].mean())


@dataclass
class ClipFigures:
    """What is measured of one clip.

    Attributes:
        flickers: by number of the frame, see :func:`flicker`.
        faces: uint8 (128, 128, 3), some of the faces.
        together, own, others: sums over pixels of changes times those of the input, and of squares of both.
    """

    flickers: dict[int, float] = field(default_factory=dict)
    faces: EvenSamples[np.ndarray] = field(default_factory=lambda: EvenSamples(JUDGED))
    together: float = 0.0
    own: float = 0.0
    others: float = 0.0

    @property
    def mean(self) -> float:
        """Mean flicker of all frames."""
        return float(np.mean(list(self.flickers.values())))

    @property
    def follows(self) -> float:
        """Correlation of the changes with those of the input: 0 for a face that stands still."""
        return self.together / max(np.sqrt(self.own * self.others), 1e-9)

    def beyond(self, other: "ClipFigures") -> float:
        """The flicker that, added in squares to that of another clip, makes its own."""
        return float(np.sqrt(max(0.0, self.mean**2 - other.mean**2)))


class FlickerMeter:
    """Measures clips whose frames are shown to it side by side; the first is the input.

    Args:
        analysis: where the main face of each shot of the input is.
        clips: how many.
    """

    def __init__(self, analysis: Analysis, clips: int) -> None:
        self.figures = [ClipFigures() for _ in range(clips)]
        self._faces = [(shot, face) for shot in analysis.shots for face in shot.chosen("main")]
        self._lag = max(2, round(CHANGE_SECONDS * analysis.timeline.rate))
        self._inside = oval_mask("tight", SIDE) > 127
        self._recent: deque[list[np.ndarray]] = deque(maxlen=self._lag + 1)

    def add(self, frame: int, pictures: Sequence[np.ndarray]) -> None:
        """Looks at frames of one number, uint8 RGB (H, W, 3), one a clip."""
        face = next((face for _, face in self._faces if face.start <= frame < face.stop), None)
        if face is None:
            self._recent.clear()
            return
        if frame == face.start:
            self._recent.clear()
        square = anchor_square(face.anchors[frame - face.start], CROP.s, CROP.k)
        faces = [warp_square(pixels, square, SIDE) for pixels in pictures]
        for figures, picture in zip(self.figures, faces, strict=True):
            figures.faces.offer(partial(np.asarray, picture))
        self._recent.append([cv2.GaussianBlur(f.astype(np.float32), (0, 0), BLUR) for f in faces])
        if len(self._recent) >= 3:
            for figures, (before, now, after) in zip(
                self.figures, zip(*list(self._recent)[-3:], strict=True), strict=True
            ):
                figures.flickers[frame - 1] = flicker(before, now, after, self._inside)
        if len(self._recent) > self._lag:
            self._compare()

    def _compare(self) -> None:
        """Adds the changes since some frames ago to those of all frames."""
        changes = [
            (now - then)[self._inside] for then, now in zip(self._recent[0], self._recent[-1], strict=True)
        ]
        for figures, change in zip(self.figures, changes, strict=True):
            figures.together += float((change * changes[0]).sum())
            figures.own += float((change**2).sum())
            figures.others += float((changes[0] ** 2).sum())


def measure(source: Clip, results: Sequence[Clip]) -> list[ClipFigures]:
    """Measures the main face of each shot of a clip, there and in results of it.

    Raises:
        InputError: a clip cannot be read, the source shows no face, or a result is not of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        analysis = analyse(source, Path(folder), Settings(SIDE, CROP, False, True), {})
    if not any(shot.faces for shot in analysis.shots):
        raise InputError(f"no face found in {source.path}; give a clip with faces")
    meter = FlickerMeter(analysis, 1 + len(results))
    count = len(analysis.timeline)
    with contextlib.ExitStack() as stack:
        streams = [iter(stack.enter_context(Frames(clip))) for clip in (source, *results)]
        for frame in tqdm(range(count), "measuring", unit="frame"):
            pictures = [next(stream, None) for stream in streams]
            for clip, pixels in zip((source, *results), pictures, strict=True):
                if pixels is None:
                    raise InputError(
                        f"{clip.path} has {frame} frames and {source.path} {count}: another clip"
                    )
            meter.add(frame, [pixels for pixels in pictures if pixels is not None])
    return meter.figures


def report_flicker(opts: VideoEvaluationOptions, made_by: Mapping[str, Any]) -> None:
    """Writes ``flicker.md``, ``flicker.json`` and ``flicker.png``.

    Args:
        opts: the clips.
        made_by: of ``evaluation.report.how_made``.

    Raises:
        InputError: a clip cannot be used, or a file cannot be written.
    """
    folder = Path(opts.exp_dir)
    named = [*([opts.baseline] if opts.baseline else []), *opts.results]
    writes = [folder / name for name in (CURVES, f"{REPORT}.md", f"{REPORT}.json")]
    refuse_overwriting(writes, [opts.source, *named])
    require_writable([folder])
    source = open_clip(Path(opts.source), opts.start, opts.end)
    judges = load_judges(opts.judge_age, opts.judge_identity, select_device(opts.device))
    figures = measure(source, [open_clip(Path(path)) for path in named])
    labels = ["input", *(["frame by frame"] if opts.baseline else []), *map(_short, opts.results)]
    ages, faces = judges.measure(torch.stack([as_images(found.faces.kept) for found in figures]))
    rows = [
        {
            "clip": str(path),
            "flicker": found.mean,
            "beyond_input": found.beyond(figures[0]),
            "of_baseline": found.mean / figures[1].mean if opts.baseline else None,
            "follows": found.follows,
            "judged_age": float(age.mean()),
            "identity": float((face * faces[0]).sum(1).mean()),
        }
        for path, found, age, face in zip((opts.source, *named), figures, ages, faces, strict=True)
    ]
    notes = [
        *NOTES,
        f"age judge: {judges.age_card.sentence()}",
        f"identity judge: {judges.identity_card.sentence()}",
    ]
    save_pil(draw_panels([_panel(labels, figures)]), folder / CURVES)
    content = {**made_by, "judges": judges.cards(), "clips": rows}
    write_report(folder, REPORT, "Flicker", content, _table(labels, rows), notes)


NOTES = [
    "flicker: how far the main face of each frame lies off the mean of the frames before and after, brought "
    f"to one place by its steady landmarks; mean over an oval at {SIDE} pixels, blurred by {BLUR:g}, in "
    "levels of 255",
    "beyond the input: what, added in squares to the flicker of the input (movement and noise), gives that "
    "of the result; 0 where it flickers less",
    f"follows: correlation of the changes over {CHANGE_SECONDS:g} seconds with those of the input; a face "
    "that stands still does not flicker, and does not follow",
    "judged age, identity with the same frames of the input: means over some frames",
]


def _table(labels: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        "flicker": ("flicker", 2),
        "beyond the input": ("beyond_input", 2),
        "of frame by frame": ("of_baseline", 2),
        "follows": ("follows", 2),
        "judged age": ("judged_age", 1),
        "identity": ("identity", 2),
    }
    cells = [
        [label, *(number(row[name], digits) for name, digits in columns.values())]
        for label, row in zip(labels, rows, strict=True)
    ]
    return markdown_table(["clip", *columns], cells)


def _panel(labels: Sequence[str], figures: Sequence[ClipFigures]) -> Panel:
    curves = [
        Curve(label, list(found.flickers), list(found.flickers.values()), style="-")
        for label, found in zip(labels, figures, strict=True)
    ]
    return Panel("flicker of the main face", "frame", "levels of 255", curves)


def _short(path: str) -> str:
    """The name of a result with the folders that tell it from others of that name."""
    return "/".join(Path(path).parts[-3:])
