"""The video commands: results, sound and times, what goes on where it stopped, what is refused."""

import json
from pathlib import Path

import clip_toys
import commands
import inference_toys
import numpy as np
import pytest
import toy_aging
from PIL import Image

from inference.video import segments
from inference.video.clip import open_clip
from inference.video.frames import read_timeline
from models.kinds import KINDS, Kind
from utils.pictures import animation

COUNT = 15


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves, with sound."""
    frames = clip_toys.moving_face(COUNT)
    return clip_toys.write_clip(tmp_path_factory.mktemp("clips") / "a.mp4", frames, sound=True)


@pytest.fixture
def tint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of a method without codes; it tints by age."""
    monkeypatch.setitem(KINDS, "tint", Kind("a tinting model", loads="toy_aging:load_tint"))
    return toy_aging.write_tint(tmp_path / "tint.pt")


def words(model: Path, clip: Path, folder: Path, *more: str) -> list[str]:
    named = [f"--checkpoint_path={model}", f"--data_path={clip}", f"--exp_dir={folder}", "--device=cpu"]
    return [*named, "--target_age=50", *more]


def age(model: Path, clip: Path, folder: Path, *more: str) -> tuple[int, str]:
    result = commands.run("inference_video", *words(model, clip, folder, *more))
    return result.returncode, result.stdout + result.stderr


def test_a_clip_keeps_its_frames_its_times_and_its_sound(clip: Path, tmp_path: Path) -> None:
    model = inference_toys.save_toy(tmp_path / "sam.pt", inference_toys.toy())
    code, told = age(
        model, clip, tmp_path / "out", "--couple_outputs", "--target_age=20:0,60:100%", "--crf=4"
    )
    assert code == 0, told
    result, coupled = (
        tmp_path / "out" / name / "a.mp4" for name in ("inference_videos", "inference_videos_coupled")
    )
    before, after = read_timeline(open_clip(clip)), read_timeline(open_clip(result))
    np.testing.assert_allclose(after.seconds, before.seconds, atol=1e-6)
    assert open_clip(result).sounds == open_clip(clip).sounds == ("aac",)
    frames, aged, pairs = (clip_toys.read_clip(path) for path in (clip, result, coupled))
    assert pairs[0].shape == (300, 600, 3)
    changes = np.array([np.abs(a.astype(int) - b).mean(2) for a, b in zip(frames, aged, strict=True)])
    assert changes[:, 230:].mean() < 2  # beside the face; both are encoded with losses
    assert changes[:, 90:120, 130:160].mean() > 8
    report = json.loads(result.with_suffix(".json").read_text())
    (shot,) = report["shots"]
    assert (shot["frames"], report["frames"]) == ([0, COUNT], COUNT)
    assert shot["faces"][0]["target_ages"] == pytest.approx([20, 20 + 40 * (COUNT - 1) / COUNT])
    assert not list(result.parent.glob("a.parts/segment_*"))


def test_every_method_ages_clips_and_a_second_run_knows_what_is_done(
    clip: Path, tint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert age(tint, clip, out, "--target_age=100")[0] == 0
    result = out / "inference_videos" / "a.mp4"
    red = clip_toys.read_clip(result)[COUNT // 2][110, 145]
    assert red[0] > 200 and red[1] < 60
    written = result.stat().st_mtime_ns
    code, told = age(tint, clip, out, "--target_age=100")
    assert code == 0 and "has its result" in told and result.stat().st_mtime_ns == written
    code, told = age(tint, clip, out, "--target_age=0")
    assert code == 0 and "analysis" not in told and result.stat().st_mtime_ns != written
    face = clip_toys.read_clip(result)[COUNT // 2][110, 145]
    assert face[1] > 60  # at 0 years it tints nothing


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(
    clip: Path, tint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 6)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert age(tint, clip, whole, "--test_batch_size=4")[0] == 0
    write, written = segments.Segments._write, []

    def stop(self: segments.Segments, number: int, *more: object) -> None:
        if number == 2 and not written:
            written.append(number)
            raise KeyboardInterrupt
        write(self, number, *more)

    monkeypatch.setattr(segments.Segments, "_write", stop)
    code, told = age(tint, clip, stopped, "--test_batch_size=4")
    assert code == 3 and "what was finished is kept" in told
    parts = stopped / "inference_videos" / "a.parts"
    assert sorted(path.name for path in parts.glob("seg*")) == ["segment_00000.mp4", "segment_00001.mp4"]
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("s*")}
    monkeypatch.setattr("inference.video.analysis.Frames", None)  # the analysis is not made again
    assert age(tint, clip, stopped, "--test_batch_size=4")[0] == 0
    assert (
        "shot_00000.npz" in kept and (parts / "shot_00000.npz").stat().st_mtime_ns == kept["shot_00000.npz"]
    )
    files = [folder / "inference_videos" / "a.mp4" for folder in (whole, stopped)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_was_rendered_with_other_options_is_made_anew(
    clip: Path, tint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT", 6)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segments, "join_films", full)
        code, told = age(tint, clip, tmp_path / "out")
        assert code == 2 and "No space left on device" in told
    code, told = age(tint, clip, tmp_path / "out", "--target_age=20")
    assert code == 0 and "of other options (--target_age 50 -> 20); it is made anew" in told


def test_part_of_a_clip_and_relative_ages(clip: Path, tint: Path, tmp_path: Path) -> None:
    more = ("--start=0.12", "--end=0:00.52", "--target_age=+80", "--input_age=40")
    code, told = age(tint, clip, tmp_path / "out", *more)
    assert code == 0, told
    assert "a.mp4, shot 1, face 1: 40 years (--input_age)" in told and "+80 gives 120 years" in told
    result = tmp_path / "out" / "inference_videos" / "a.mp4"
    assert len(read_timeline(open_clip(result))) == 10
    report = json.loads(result.with_suffix(".json").read_text())
    assert report["shots"][0]["faces"][0]["target_ages"] == [100, 100]


def test_a_folder_of_clips(clip: Path, tint: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "sub").mkdir(parents=True)
    (clips / "a.mp4").write_bytes(clip.read_bytes())
    (clips / "a.MOV").write_bytes(b"no clip")
    clip_toys.pattern(clips / "sub" / "empty.mp4", seconds=0.2)
    code, told = age(tint, clips, clips, "--end=0.4")
    assert code == 0, told
    assert "a.MOV cannot be read" in told and "no face found in" in told and "1 clip aged, 2 skipped" in told
    assert (clips / "inference_videos" / "a_mp4.mp4").is_file()
    code, told = age(tint, clips, clips, "--end=0.4")  # its own results are no clips
    assert "has its result" in told and "1 clip aged, 2 skipped" in told
    code, told = age(tint, clips / "sub", tmp_path / "other")
    assert code == 2 and "no face found in" in told


def test_frame_by_frame_is_the_photo_way(clip: Path, tint: Path, tmp_path: Path) -> None:
    assert age(tint, clip, tmp_path / "out", "--temporal=frame", "--end=0.12", "--crf=0")[0] == 0
    aged = clip_toys.read_clip(tmp_path / "out" / "inference_videos" / "a.mp4")
    photo = tmp_path / "photos" / "a.png"
    photo.parent.mkdir()
    Image.fromarray(clip_toys.read_clip(clip)[1]).save(photo)
    more = (f"--data_path={photo}", f"--exp_dir={tmp_path}", "--align", "--target_age=50", "--device=cpu")
    assert commands.run("inference", f"--checkpoint_path={tint}", *more).returncode == 0
    expected = inference_toys.pixels(tmp_path / "inference_results" / "50" / "a.png")
    assert np.abs(aged[1].astype(int) - expected).mean() < 2


def test_results_never_land_on_inputs(clip: Path, tint: Path, tmp_path: Path) -> None:
    place = tmp_path / "inference_videos"
    place.mkdir()
    (place / "a.mp4").write_bytes(clip.read_bytes())
    code, told = age(tint, place / "a.mp4", tmp_path)
    assert code == 2 and "would be overwritten, and this command reads it" in told
    assert (place / "a.mp4").read_bytes() == clip.read_bytes()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("--target_age=20,60", "takes one age, or ages with times"),
        ("--start=9 --end=10", "--start=9: "),
        ("--end=0", "--end=0 does not come after --start=0"),
        ("--faces=3", "--faces=3: no shot of"),
        ("--data_path=absent.mp4", "no such"),
        ("--data_path=", "is needed: a clip or a folder"),
        ("--start=1:x", "'x' is not a number"),
        ("--crf=60", "60 is more than 51"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    clip: Path, tint: Path, tmp_path: Path, more: str, problem: str
) -> None:
    code, told = age(tint, clip, tmp_path, "--end=0.2", *more.split())
    last = told.strip().splitlines()[-1]
    assert code == 2 and last.startswith("error: ") and problem in last and "Traceback" not in told


def test_without_imageio_ffmpeg_there_is_a_sentence(
    clip: Path, tint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animation.importlib.util, "find_spec", lambda name: None)
    code, told = age(tint, clip, tmp_path)
    assert code == 2 and "MP4 needs imageio-ffmpeg; run: pip install imageio-ffmpeg" in told


def test_flicker_is_measured_beside_input_and_baseline(clip: Path, tmp_path: Path) -> None:
    frames = clip_toys.read_clip(clip)[:12]
    noise = [
        np.clip(f.astype(int) + (8 if n % 2 else -8), 0, 255).astype(np.uint8) for n, f in enumerate(frames)
    ]
    strong = clip_toys.write_clip(tmp_path / "strong.mp4", noise)
    weak = clip_toys.write_clip(tmp_path / "weak.mp4", frames)
    more = (f"--source={clip}", "--end=0.48", f"--exp_dir={tmp_path / 'out'}", f"--baseline={strong}")
    result = commands.run("evaluate_video", str(weak), *more)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "out" / "flicker.json").read_text())["clips"]
    source, baseline, found = (figure["flicker"] for figure in figures)
    assert baseline == pytest.approx(16, rel=0.2) and found == pytest.approx(source, rel=0.2)
    assert figures[0]["identity"] == pytest.approx(1) and 0.5 < figures[2]["identity"] < 1
    assert 0 < figures[0]["judged_age"] < 100
    assert figures[2]["of_baseline"] == pytest.approx(found / baseline)
    assert "data:image/jpeg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "flicker.png").is_file() and "| frame by frame" in result.stdout
    result = commands.run("evaluate_video", str(weak), f"--source={clip}", f"--exp_dir={tmp_path / 'out'}")
    assert result.returncode == 2 and "weak.mp4 has 12 frames and" in result.stderr
    assert commands.run("evaluate_video", str(weak), "--exp_dir=x").returncode == 2


def test_the_demonstration_clip(tmp_path: Path) -> None:
    path = tmp_path / "demo.mp4"
    photo = tmp_path / "a.png"
    Image.fromarray(clip_toys.moving_face(1)[0]).save(photo)
    more = ("--seconds=0.2", "--side=200", "--fps=29.97", f"--photos={photo},{photo}")
    result = commands.run("make_demo_clip", f"--output={path}", *more)
    assert result.returncode == 0, result.stderr
    line = read_timeline(open_clip(path))
    assert len(line) == 12 and line.rate == pytest.approx(29.97, rel=1e-4)
    frames = clip_toys.read_clip(path)
    assert frames[0].shape == (200, 200, 3) and np.abs(frames[1].astype(int) - frames[5]).mean() > 1
