"""The command line of `scripts/make_demo_clip.py`."""

from dataclasses import dataclass

from utils.typed_options import Options, at_least, count, fraction, option, path, paths, rate, weight


@dataclass(frozen=True, kw_only=True)
class DemoClipOptions(Options):
    """Options of `scripts/make_demo_clip.py`."""

    title = "clip"

    output: str = option(None, path, "the clip, an MP4 file", metavar="FILE")
    photos: tuple[str, ...] | None = option(
        None,
        paths,
        "a shot is made of each, cut hard; without it the portrait that comes with matplotlib",
        metavar="FILE,...",
    )
    seconds: float = option(4.0, rate, "length of a shot")
    fps: float = option(25.0, rate, "frames a second")
    side: int = option(512, at_least(64, 4096), "longer side of the frames in pixels")
    pan: float = option(0.04, weight, "how far the camera moves, as a share of the width; 1 leaves the face")
    talk: float = option(1.0, fraction, "how far the head turns and the mouth opens, 0 to 1")
    noise: float = option(3.0, weight, "deviation of the noise of the sensor, in levels of 255")
    crf: int = option(23, at_least(0, 51), "quality of x264; the lower the better")
    seed: int = option(0, count, "of the movements and the noise")
