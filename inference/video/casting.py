"""Who is aged in a clip, and to which age in each frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.input_age import InputAge, InputAges
from inference.video.analysis import Analysis, Face
from inference.video.clip import Clip, UnusableClipError
from inference.video.rendering import Role, as_images
from options.age_path import AgePath
from utils.notes import note


@dataclass(frozen=True)
class Cast:
    """The faces of a clip that are aged.

    Attributes:
        roles: all of them.
        told: for the report, a shot each: its times, frames and faces.
    """

    roles: list[Role]
    told: list[dict[str, Any]]


def cast(clip: Clip, analysis: Analysis, which: str | int, path: AgePath, ages: InputAges) -> Cast:
    """Chooses faces of each shot and their ages.

    Args:
        clip: for its name.
        analysis: of the clip.
        which: ``main``, ``all``, or a number counted from the left.
        path: the target ages.
        ages: tells how old people are, where target ages are relative to that.

    Raises:
        InputError: there is not one such face in any shot.
    """
    timeline = analysis.timeline
    found = Cast([], [])
    for number, shot in enumerate(analysis.shots, start=1):
        faces = shot.chosen(which)
        rows = []
        for index, face in enumerate(faces, start=1):
            own = _own_age(clip, face, f"shot {number}, face {index}", path, ages, len(faces))
            years = path.years(timeline.seconds[face.start : face.stop], timeline.length, own or 0.0)
            found.roles.append(Role(face, years))
            row = {"frames": [face.start, face.stop], "target_ages": [float(years[0]), float(years[-1])]}
            rows.append(row if own is None else {**row, "own_age": own})
        times = timeline.seconds[[shot.start, shot.stop - 1]].tolist()
        found.told.append({"seconds": times, "frames": [shot.start, shot.stop], "faces": rows})
    if not found.roles and any(shot.faces for shot in analysis.shots):
        raise UnusableClipError(f"--faces={which}: no shot of {clip.path} has so many faces")
    if not found.roles:
        raise UnusableClipError(f"no face found in {clip.path}; faces need 80 pixels and look to the camera")
    return found


def _own_age(
    clip: Clip, face: Face, name: str, path: AgePath, ages: InputAges, together: int
) -> float | None:
    """The age of a person, where it counts; the name of a clip tells that of one person only."""
    if not path.relative:
        return None
    source = clip.path if together == 1 else Path()
    found: Sequence[InputAge] = ages([source] * len(face.samples), as_images(list(face.samples)))
    years = float(np.median([age.years for age in found]))
    print(f"{clip.path.name}, {name}: {years:.3g} years ({found[0].source})")
    for label, wanted in path.beyond(years):
        note(f"{clip.path.name}, {name}: {label} gives {wanted:.3g} years, taken as the nearest age")
    return years
