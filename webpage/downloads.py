"""Files to take away, made by the very code of the inference commands."""

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from inference.results import write_results, write_strips
from inference.run import InferenceRun
from options.ageing_options import RESULTS, SIDE_BY_SIDE, SWEEP
from options.inference_options import InferenceOptions, SideBySideOptions
from utils.pictures.animation import has_video_writer
from webpage.desk import AgeingDesk, Faces, OpenedPhoto

PHOTO, STRIP, GIF, MP4 = "photo", "strip", "gif", "mp4"
_AGES = {STRIP: "10,20,30,40,50,60,70,80", GIF: "5,85", MP4: "5,85"}

_FOLDERS = {PHOTO: RESULTS, STRIP: SIDE_BY_SIDE, GIF: SWEEP, MP4: SWEEP}


def kinds() -> list[tuple[str, str]]:
    """What can be made here: (label, kind)."""
    found = [("photo at this age, full size", PHOTO), ("strip of eight ages", STRIP), ("GIF", GIF)]
    return [*found, ("MP4", MP4)] if has_video_writer() else found


def target_age(kind: str, years: float, relative: bool) -> str:
    """The target ages of a kind of file, as the commands take them."""
    return _AGES.get(kind) or (f"{years:+g}" if relative else f"{years:g}")


def faces_flag(photo: OpenedPhoto, faces: Faces) -> str | int:
    """The faces as the commands take them."""
    if not photo.run.opts.align:
        return "main"
    return faces[0] + 1 if len(faces) == 1 else "all"


def command_line(photo: OpenedPhoto, faces: Faces, years: float, relative: bool) -> str:
    """The command that makes the same picture."""
    opts = photo.run.opts
    words = ["python", "scripts/inference.py", f"--checkpoint_path={opts.checkpoint}"]
    ages = target_age(PHOTO, years, relative)
    words += [f"--data_path={photo.batch.paths[0].name}", f"--target_age={ages}"]
    if opts.align:
        words += ["--align", f"--faces={faces_flag(photo, faces)}"]
    return shlex.join([*words, "--exp_dir=results"])


def make(
    desk: AgeingDesk,
    photo: OpenedPhoto,
    faces: Faces,
    years: float,
    relative: bool,
    kind: str,
    folder: Path,
) -> Path:
    """Makes a file of the open photo.

    Args:
        desk: whose turn it is.
        photo: what is open.
        faces: which are aged: one, or all.
        years: the age, see :meth:`OpenedPhoto.at`.
        relative: the same.
        kind: one of :func:`kinds`.
        folder: of the file.

    Raises:
        InputError: it cannot be written.
    """
    opened, ages = photo.run.opts, target_age(kind, years, relative)
    with desk.lock, tempfile.TemporaryDirectory(dir=folder) as work:
        more: dict[str, Any] = {
            "align": opened.align,
            "faces": faces_flag(photo, faces),
            "target_age": ages,
        }
        files = opened.checkpoint, photo.batch.paths[0], Path(work)
        if kind == STRIP:
            strip = desk.options(SideBySideOptions, *files, **more)
            write_strips(InferenceRun(strip, photo.run.model), strip)
        else:
            opts = desk.options(InferenceOptions, *files, **more, sweep=None if kind == PHOTO else kind)
            write_results(InferenceRun(opts, photo.run.model), opts)
        made = next(path for path in (Path(work) / _FOLDERS[kind]).rglob("*") if path.is_file())
        named = folder / f"{made.stem}_{'strip' if kind == STRIP else ages.replace(',', '_')}{made.suffix}"
        return Path(shutil.move(made, named))
