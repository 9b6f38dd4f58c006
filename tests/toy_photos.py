"""Photos that tests make of the demonstration person, who is fictional."""

from pathlib import Path

from commands import ROOT
from PIL import Image

PERSON = ROOT / "assets" / "demo_person" / "train"


def group_photo(path: Path, count: int = 2) -> Path:
    """Writes some pictures of the person side by side, from the youngest to the oldest."""
    faces = sorted(PERSON.glob("*.png"))
    photo = Image.new("RGB", (count * 320 + 40, 340), (120, 140, 150))
    for number in range(count):
        face = Image.open(faces[number * (len(faces) - 1) // max(1, count - 1)])
        photo.paste(face.resize((260, 260), Image.Resampling.BICUBIC), (40 + number * 320, 40))
    photo.save(path, quality=95)
    return path
