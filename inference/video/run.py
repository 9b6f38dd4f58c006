"""What `scripts/inference_video.py` does: clips in, the same clips with their faces at other ages out."""

from collections.abc import Sequence
from pathlib import Path

from datasets.photos import result_stems
from inference.video.clip import UnusableClipError, open_clip
from inference.video.work import ClipFiles, ClipWork
from models.aging_model import AgingModel
from options.video_options import VideoOptions
from utils.device import select_device
from utils.errors import InputError
from utils.files.outputs import distinct, refuse_overwriting, require_writable
from utils.notes import note
from utils.pictures.archives import is_archive
from utils.pictures.listing import find_pictures

SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts"),
        *(".3gp", ".flv", ".wmv", ".ogv", ".mxf", ".vob"),
    }
)


def list_clips(opts: VideoOptions) -> list[Path]:
    """The clips at the place that a command names; results of inference commands among them are left out.

    Raises:
        InputError: there is none.
    """
    place = Path(opts.data_path)
    if is_archive(place):
        raise InputError(f"--data_path={place}: clips are not read from archives; unpack it")
    found = find_pictures(place, opts.own_output)
    for text in found.notes:
        note(text)
    if place.is_file():
        return [place]
    clips = sorted(path for path in found.others if path.suffix.lower() in SUFFIXES)
    if not clips:
        known = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise InputError(f"--data_path={place}: no clips there (looked for {known}, in sub-folders too)")
    return clips


def files_of(opts: VideoOptions, stem: Path) -> ClipFiles:
    """What is written for the clip of a name."""
    result = opts.folder / stem.with_name(f"{stem.name}.mp4")
    coupled = opts.coupled_folder / stem.with_name(f"{stem.name}.mp4") if opts.couple_outputs else None
    return ClipFiles(result, coupled, result.with_suffix(".json"), result.with_suffix(".parts"))


def age_clips(model: AgingModel, opts: VideoOptions) -> None:
    """Ages every clip of a command line; one of several that cannot be used is named and passed over.

    Args:
        model: what ages faces.
        opts: of the command.

    Raises:
        InputError: a result would replace an input, nothing can be written, or not one clip can be used.
    """
    clips = list_clips(opts)
    files = planned_files(clips, opts)
    device = select_device(opts.device)
    done = 0
    for path, each in zip(clips, files, strict=True):
        try:
            clip = open_clip(path, opts.start, opts.end)
            for remark in clip.remarks():
                note(remark)
            work = ClipWork(opts, clip, each)
            if work.is_done():
                note(f"{path} has its result {each.result} already; remove that to repeat")
            else:
                work.do(model, device)
            done += 1
        except UnusableClipError as error:
            if len(clips) == 1:
                raise
            note(str(error), kind="skipped")
    if not done:
        raise InputError(f"not one of the {len(clips)} clips can be used; see the lines above")
    skipped = f", {len(clips) - done} skipped" if done < len(clips) else ""
    print(f"{done} {'clip' if done == 1 else 'clips'} aged{skipped}; results in {opts.folder}")


def planned_files(clips: Sequence[Path], opts: VideoOptions) -> list[ClipFiles]:
    """What is written for each clip; checked before anything is computed.

    Raises:
        InputError: a result would replace an input, or its folder cannot be written.
    """
    place = Path(opts.data_path)
    root = place if place.is_dir() else place.parent
    names = result_stems([path.relative_to(root) for path in clips])
    names = distinct(names, lambda _, name: files_of(opts, name).named())
    files = [files_of(opts, name) for name in names]
    models = (opts.checkpoint, opts.global_checkpoint, opts.encoder_path, opts.age_classifier)
    refuse_overwriting([path for each in files for path in each.all()], [*clips, *models])
    require_writable({path.parent for each in files for path in each.named()})
    return files
