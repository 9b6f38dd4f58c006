"""Clips as files: what they are, when their frames are shown, what is written, target ages in time."""

from fractions import Fraction
from pathlib import Path

import clip_toys
import numpy as np
import pytest

from inference.video import clip as clips
from inference.video.clip import Clip, Colours, UnusableClipError, open_clip
from inference.video.encoding import film, join_films
from inference.video.ffmpeg import run
from inference.video.frames import Frames, Timeline, read_timeline
from options.age_path import AgePath, parse_age_path
from options.video_options import moment
from utils.errors import InputError

# ---------------------------------------------------------------- what a clip is


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive), "
            "1280x720 [SAR 1:1 DAR 16:9], 500 kb/s, 25 fps",
            ("yuv420p", 720, Colours("bt709", "bt709", "bt709")),
        ),
        (
            "Stream #0:0: Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/arib-std-b67), 9x2160",
            ("yuv420p10le", 2160, Colours("bt2020nc", "bt2020", "arib-std-b67")),
        ),
        (
            "Stream #0:0: Video: mjpeg (Baseline), yuvj420p(pc, bt470bg/unknown/unknown), 64x48, 25 fps",
            ("yuvj420p", 48, Colours("bt470bg", "unknown", "unknown")),
        ),
        ("Stream #0:0: Video: rawvideo, bgr24, 32x16, 25 fps", ("bgr24", 16, Colours())),
        ("Stream #0:0: Video: h264 (High), yuv444p(progressive), 32x16, 25 fps", ("yuv444p", 16, Colours())),
    ],
)
def test_what_ffmpeg_says_of_a_clip(line: str, expected: tuple[str, int, Colours]) -> None:
    pixel_format, labels, height = clips._pictures(line)
    assert (pixel_format, height, clips._colours(labels)) == expected


def kind(pixel_format: str, transfer: str = "unknown", height: int = 480) -> Clip:
    colours = Colours("bt2020nc" if transfer != "unknown" else "unknown", transfer=transfer)
    return Clip(Path("a.mp4"), 0.0, None, pixel_format, height, colours, ())


def test_what_a_result_cannot_keep_is_told() -> None:
    bits = [
        kind(name).bits for name in ("yuv420p", "yuv420p10le", "p010le", "gbrp12be", "rgb48le", "gray16le")
    ]
    assert bits == [8, 10, 10, 12, 16, 16]
    assert kind("yuv420p").remarks() == []
    assert kind("yuv420p10le").remarks() == ["a.mp4 has 10 bits a colour; its result has 8"]
    (remark,) = kind("yuv420p10le", "smpte2084").remarks()
    assert "a.mp4 is HDR (PQ, 10 bits)" in remark and "ordinary video" in remark
    assert kind("yuv420p10le", "arib-std-b67").encoded == Colours("bt709", "bt709", "bt709")
    assert (
        kind("yuv420p").encoded.matrix == "smpte170m"
        and kind("yuv420p", height=720).encoded.matrix == "bt709"
    )


def test_hdr_is_brought_to_ordinary_brightness(tmp_path: Path) -> None:
    """Grey of 58 % in HLG, that is 203 of 1000 candelas, is white paper and no dark grey."""
    label = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67:range=tv"
    grey = ("-f", "lavfi", "-i", "color=c=0xBFBFBF:s=64x64:d=0.2", "-vf", f"format=yuv420p10le,{label}")
    path = clip_toys.make(tmp_path / "hlg.mkv", *grey, "-c:v", "libx264")
    clip = open_clip(path)
    assert clip.hdr == "HLG" and clip.bits == 10
    level = float(clip_toys.read_clip(path)[0].mean())
    assert 150 < level < 255


@pytest.mark.parametrize("content", [b"no clip at all", b""])
def test_a_file_that_is_no_clip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(UnusableClipError, match="a.mp4 cannot be read"):
        open_clip(path)


def test_clips_without_pictures_or_frames_are_refused(tmp_path: Path) -> None:
    sound = clip_toys.make(tmp_path / "a.m4a", "-f", "lavfi", "-i", "sine=440:d=0.2")
    with pytest.raises(UnusableClipError, match=r"a.m4a holds no moving pictures"):
        open_clip(sound)
    path = clip_toys.pattern(tmp_path / "a.mp4")
    with pytest.raises(UnusableClipError, match=r"--start=7: .*a.mp4 ends at 1.00 seconds"):
        open_clip(path, 7.0)
    with pytest.raises(UnusableClipError, match=r"has no frames between --start and --end"):
        read_timeline(open_clip(path, 0.97, 0.98))
    with pytest.raises(UnusableClipError, match="is a folder"):
        open_clip(tmp_path)


# ---------------------------------------------------------------- frames and their times


def test_frames_are_upright_with_square_pixels(tmp_path: Path) -> None:
    wide = clip_toys.pattern(tmp_path / "wide.mp4", "-vf", "setsar=2", seconds=0.2)
    assert clip_toys.read_clip(wide)[0].shape == (64, 192, 3)
    plain = clip_toys.pattern(tmp_path / "plain.mp4", "-qp", "0", seconds=0.2)
    turned = clip_toys.make(tmp_path / "t.mp4", "-display_rotation:v:0", "90", "-i", str(plain), "-c", "copy")
    first, second = clip_toys.read_clip(plain)[0], clip_toys.read_clip(turned)[0]
    assert np.abs(np.rot90(first).astype(int) - second).mean() < 0.1  # but for the rounding of colours


def test_reading_from_a_frame_on_gives_the_same_frames(tmp_path: Path) -> None:
    clip = open_clip(clip_toys.pattern(tmp_path / "a.mp4", "-g", "7"), 0.2, 0.8)
    with Frames(clip) as frames:
        every = list(frames)
    with Frames(clip, 6) as frames:
        later = list(frames)
    assert len(every) == len(read_timeline(clip)) == 15 and len(later) == 9
    assert all(np.array_equal(a, b) for a, b in zip(every[6:], later, strict=True))


def test_times_that_do_not_rise_are_put_in_order() -> None:
    from inference.video.frames import _rising

    assert _rising(np.array([0, 40, 40, 30, 160])).tolist() == [0, 40, 41, 42, 160]
    line = Timeline(np.array([10, 20, 30, 60]), Fraction(1, 100))
    assert line.end == 70 and line.rate == pytest.approx(4 / 0.6)


VARIABLE = "settb=1/90000,setpts='N*3600+if(gt(N,9),9000,0)+mod(N,3)*500'"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ntsc.mp4", ("-r", "30000/1001")),
        ("film.mkv", ("-r", "24000/1001")),
        ("variable.mov", ("-vf", VARIABLE, "-fps_mode", "passthrough", "-enc_time_base", "1/90000")),
    ],
)
def test_a_film_in_parts_has_the_times_and_the_sound_of_its_clip(
    tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    tone = ("-f", "lavfi", "-i", "sine=440:d=1", "-c:a", "aac", "-pix_fmt", "yuv420p")
    clip = open_clip(clip_toys.pattern(tmp_path / name, *tone, *arguments))
    line, frames = read_timeline(clip), clip_toys.read_clip(tmp_path / name)
    starts = [0, 7, 11]
    parts = [tmp_path / f"it's {number}.mp4" for number in range(3)]
    for part, start, stop in zip(parts, starts, [*starts[1:], len(line)], strict=True):
        ticks = (line.ticks[start:stop] - line.ticks[start]).tolist()
        with film(part, (96, 64), ticks, line.base, clip.encoded, 4) as writer:
            for frame in frames[start:stop]:
                writer.add(frame)
    join_films(parts, starts, line, clip, tmp_path / "joined.mp4")
    found = open_clip(tmp_path / "joined.mp4")
    assert found.sounds == ("aac",)
    again = read_timeline(found)
    np.testing.assert_allclose(again.seconds, line.seconds, atol=1e-6)
    assert again.rate == pytest.approx(line.rate, rel=1e-3)
    shown = clip_toys.read_clip(tmp_path / "joined.mp4")
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(frames, shown, strict=True)) < 6
    assert audio_of(tmp_path / name) == audio_of(tmp_path / "joined.mp4")


def test_sound_stays_with_its_pictures_in_a_part_of_a_clip(tmp_path: Path) -> None:
    """White pictures and a tone that begin together."""
    white = (
        "-f",
        "lavfi",
        "-i",
        "color=black:s=64x64:r=25:d=1.2",
        "-vf",
        "drawbox=c=white:t=fill:enable='gte(t,0.6)'",
    )
    tone = (
        "-f",
        "lavfi",
        "-i",
        "aevalsrc='0.8*sin(3000*t)*gte(t,0.6)':d=1.2:s=48000",
        "-c:a",
        "aac",
        "-g",
        "30",
    )
    path = clip_toys.make(tmp_path / "a.mp4", *white[:4], *tone[:4], *white[4:], *tone[4:])
    clip = open_clip(path, 0.41, 1.1)
    with Frames(clip) as frames:
        part = clip_toys.write_clip(tmp_path / "part.mp4", list(frames))
    join_films([part], [0], read_timeline(clip), clip, tmp_path / "joined.mp4")
    result = open_clip(tmp_path / "joined.mp4")
    levels = [frame.mean() for frame in clip_toys.read_clip(result.path)]
    flash = float(read_timeline(result).seconds[int(np.argmax(np.array(levels) > 128))])
    raw = clip_toys.make(
        tmp_path / "a.raw", "-i", str(result.path), "-f", "s16le", "-ac", "1", "-ar", "48000"
    )
    samples = np.abs(np.frombuffer(raw.read_bytes(), np.int16).astype(int))
    assert flash == pytest.approx(0.6 - 0.41, abs=0.03)
    assert int(np.argmax(samples > 3000)) / 48000 == pytest.approx(flash, abs=0.03)


def audio_of(path: Path) -> str:
    """Checksum of the encoded sound of a clip."""
    sums = path.with_suffix(".sum")
    fine, messages = run(["-i", str(path), "-map", "0:a", "-c", "copy", "-f", "hash", "-y", str(sums)])
    assert fine, messages
    return sums.read_text()


def test_sound_that_mp4_does_not_hold_is_encoded_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tone = ("-f", "lavfi", "-i", "sine=440:d=0.4", "-c:a", "pcm_s16le")
    clip = open_clip(clip_toys.pattern(tmp_path / "a.mov", *tone, seconds=0.4))
    line = read_timeline(clip)
    part = clip_toys.write_clip(tmp_path / "part.mp4", clip_toys.read_clip(clip.path))
    join_films([part], [0], line, clip, tmp_path / "joined.mp4")
    assert open_clip(tmp_path / "joined.mp4").sounds == ("aac",)
    assert "MP4 files do not hold its sound (pcm_s16le)" in capsys.readouterr().err


def test_a_film_is_whole_or_not_there(tmp_path: Path) -> None:
    frame, colours = np.zeros((9, 7, 3), np.uint8), Colours("bt709")
    with (
        pytest.raises(RuntimeError),
        film(tmp_path / "a.mp4", (7, 9), [0], Fraction(1, 25), colours, 18) as writer,
    ):
        writer.add(frame)
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with film(tmp_path / "a.mp4", (7, 9), [0], Fraction(1, 25), colours, 18) as writer:
        writer.add(frame)
    assert clip_toys.read_clip(tmp_path / "a.mp4")[0].shape == (8, 6, 3)  # H.264 has even sides
    narrow = film(tmp_path / "b.mp4", (1, 9), [0], Fraction(1, 25), colours, 18)
    with pytest.raises(InputError, match="two rows and two columns"), narrow:
        pass


def test_a_damaged_clip_gives_the_frames_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = clip_toys.pattern(tmp_path / "whole.mkv", "-c:v", "libx264")
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    count = len(read_timeline(open_clip(path)))
    assert 0 < count < 25 and len(clip_toys.read_clip(path)) == count
    assert f"cut.mkv is damaged (File ended prematurely); {count} frames" in capsys.readouterr().err


# ---------------------------------------------------------------- target ages in time


def test_ages_go_straight_from_one_to_the_next() -> None:
    path = parse_age_path("20:0, 60:10s,30:1:00")
    assert path.years(np.array([-1.0, 0, 5, 10, 35, 99]), 100.0).tolist() == [20, 20, 40, 60, 45, 30]
    share = parse_age_path("20:0,60:100%")
    assert share.years(np.array([0.0, 4.0, 8.0]), 8.0).tolist() == [20, 40, 60]
    assert parse_age_path("35").years(np.array([0.0, 9.0]), 9.0).tolist() == [35, 35]


def test_relative_ages_count_from_that_of_the_person() -> None:
    path = parse_age_path("+0:0,+80:4s")
    assert path.relative and path.years(np.array([0.0, 4.0]), 4.0, own=40.0).tolist() == [40, 100]
    assert path.beyond(40.0) == [("+80", 120.0)] and not path.beyond(10.0)
    mixed = parse_age_path("-10:0,50:2s")
    assert mixed.years(np.array([0.0, 1.0, 2.0]), 4.0, own=40.0).tolist() == [30, 40, 50]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "--target_age is needed"),
        ("20,60", "takes one age, or ages with times"),
        ("20:0,60", "takes one age, or ages with times"),
        ("20:5s,60:5s", "the times must rise"),
        ("20:1,60:50%", "all times in seconds, or all in %"),
        ("20:x", "'x' is no time"),
        ("20:1:50%", "is no time"),
        ("old:0", "'old' is no age"),
        ("120", "outside 0 to 100"),
        ("uniform_random", "takes an age in years"),
    ],
)
def test_a_path_that_is_none_is_one_sentence(text: str | None, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_age_path(text)


def test_moments() -> None:
    assert [moment(text) for text in ("12.5", "1:30", "1:02:03.5")] == [12.5, 90.0, 3723.5]
    assert isinstance(parse_age_path("20"), AgePath)
