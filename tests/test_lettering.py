"""Names in any alphabet on the contact sheet: a font that has the letters, else escapes; never boxes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.pictures import lettering
from utils.pictures.contact_sheet import Cell, contact_sheet
from utils.pictures.lettering import lettered


@pytest.mark.parametrize(
    "text", ["IMG_1.jpg", "Zoë", "Żółć.png", "Ελλάδα", "Москва.jpg", "გამარჯობა", "שלום"]
)
def test_alphabets_that_are_always_there(text: str) -> None:
    shown, font = lettered(text, 12)
    assert shown == text
    boxes = lettering._shape(font, "\uffff")
    assert all(lettering._shape(font, letter) != boxes for letter in text)


def test_what_no_font_has_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    dejavu = lettering._files()[0]
    monkeypatch.setattr(lettering, "_files", lambda: (Path("missing.ttf"), dejavu))
    assert lettered("東京 a.jpg", 12)[0] == "\\u6771\\u4eac a.jpg"
    assert lettered("a\nb\udce9\t\x1b[1m\U0010fffe", 12)[0] == "a b\\udce9 \\x1b[1m\\U0010fffe"
    assert lettered("Москва 東", 12)[0] == "Москва \\u6771"


def test_fonts_of_the_system_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(lettering._files()[0], tmp_path / "A.TTF")
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    monkeypatch.setattr(lettering, "_folders", lambda: iter([tmp_path]))
    assert [path.name for path in lettering._files.__wrapped__()][1:] == ["A.TTF", "damaged.ttf"]
    assert lettering._font(tmp_path / "damaged.ttf", 12) is None


def test_a_sheet_shows_them_and_has_one_size_for_all() -> None:
    def sheet(name: str) -> Image.Image:
        return contact_sheet([("title", [Cell(None, [name])])], columns=1)

    assert sheet("Москва").size == sheet("Moscow").size
    different = {
        np.asarray(sheet(name)).tobytes() for name in ("Москва", "Moscow", "Минск", "東", "京", "\udce9")
    }
    assert len(different) == 6
