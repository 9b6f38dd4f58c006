"""Lists and tables of Excel, Notepad, a Mac and shells mean what their author saw; damage is one sentence."""

import itertools
import os
import unicodedata
from pathlib import Path

import pytest
from damage import damaged

from datasets.personal.ages import read_age_table
from datasets.photos import read_path_list
from utils.errors import InputError
from utils.files.text import NameIndex, parse_number, read_table, read_text

NAMES = ("a.jpg", "sub/Zoë 2.jpg", "sub/b,c;d.png", "Málaga_7.JPG")
AGES = (30.0, 31.5, 7.0, 61.25)
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
NEWLINES = ("\n", "\r\n", "\r")


def table_text(separator: str, decimal: str, heading: str, end: str) -> str:
    """A table of the names above; cells are quoted where a spreadsheet quotes them."""

    def cell(text: str) -> str:
        return f'"{text}"' if separator in text or '"' in text else text

    numbers = [f"{age:g}".replace(".", decimal) for age in AGES]
    rows = [f"{cell(name)}{separator}{cell(age)}{end}" for name, age in zip(NAMES, numbers, strict=True)]
    return "\n".join([heading.replace("|", separator), *rows] if heading else rows) + "\n"


def test_every_way_to_write_a_table_gives_the_same_ages(tmp_path: Path) -> None:
    table = tmp_path / "ages.csv"
    ways = itertools.product(
        (*UNICODE, "cp1252"),
        NEWLINES,
        ("\t", ";", ","),
        (".", ","),
        ("", "file|age", " File | AGE ", '"FileName"|"Age"', "Photo|Years||"),
        ("", ";"),
        ("NFC", "NFD"),
    )
    for encoding, newline, separator, decimal, heading, end, form in ways:
        if end and separator != end:
            continue
        text = unicodedata.normalize(form, table_text(separator, decimal, heading, end))
        if encoding == "cp1252" and (form == "NFD" or newline == "\r"):
            continue  # has no separate accents; with lines of a Mac it is read as a Mac's text
        table.write_bytes(text.replace("\n", newline).encode(encoding))
        found = read_age_table(table, NAMES)
        assert found == dict(zip(NAMES, AGES, strict=True)), (encoding, newline, separator, decimal, heading)


def test_old_text_of_a_mac_and_the_first_line_of_excel(tmp_path: Path) -> None:
    table = tmp_path / "ages.csv"
    table.write_bytes(table_text(";", ",", "", "").replace("\n", "\r").encode("mac_roman"))
    assert read_age_table(table, NAMES)["sub/Zoë 2.jpg"] == 31.5
    table.write_text("sep=;\nName;Place;Age\na.jpg;Rome;30\n", encoding="utf-8")
    assert read_age_table(table, NAMES) == {"a.jpg": 30.0}
    assert read_table(table)[-1] == (3, ["a.jpg", "Rome", "30"])
    table.write_text("Datei;Alter\na.jpg;30,5\n", encoding="utf-8")
    assert read_age_table(table, NAMES) == {"a.jpg": 30.5}


@pytest.mark.parametrize(
    "text", ["a.jpg,34,5", "a.jpg;1e1", "a.jpg,nan", "a.jpg,-3", ",34", "a.jpg;0x10", "\x00\x01"]
)
def test_what_is_no_age_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ages.csv").write_text(text)
    with pytest.raises(InputError, match=r"ages\.csv"):
        read_age_table(tmp_path / "ages.csv", NAMES)


def test_numbers() -> None:
    assert [parse_number(text) for text in ("34", " 34,5\xa0", "+3.25", "1_0", "inf", "")] == [
        34.0, 34.5, 3.25, None, None, None,
    ]  # fmt: skip


def test_every_way_to_write_a_list_finds_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for form in ("NFC", "NFD"):
        for name in NAMES:
            file = tmp_path / form / unicodedata.normalize(form, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    latin = os.fsencode(tmp_path) + b"/raw/\xe9t\xe9.jpg"
    (tmp_path / "raw").mkdir()
    with open(latin, "wb"):
        pass
    for on_disk, in_list, encoding, newline in itertools.product(
        ("NFC", "NFD"), ("NFC", "NFD"), UNICODE, NEWLINES
    ):
        base = tmp_path / on_disk
        lines = ["Path", *NAMES, f'"{base}/a.jpg"', f"~/{on_disk}/a.jpg", "sub\\ZOË 2.jpg;;", "", "  a.jpg  "]
        text = unicodedata.normalize(in_list, newline.join(lines))
        (base / "list.txt").write_bytes(text.encode(encoding))
        found = read_path_list(base / "list.txt")
        wanted = [*NAMES, "a.jpg", "a.jpg", NAMES[1], "a.jpg"]
        assert [os.path.realpath(path) for path in found] == [
            os.path.realpath(base / unicodedata.normalize(on_disk, name)) for name in wanted
        ]
    for data in (b"\xe9t\xe9.jpg", "été.jpg".encode()):
        (tmp_path / "raw" / "list.txt").write_bytes(data)
        assert [os.fsencode(path) for path in read_path_list(tmp_path / "raw" / "list.txt")] == [latin]


def test_ambiguous_spelling_is_not_guessed() -> None:
    index = NameIndex((name, name) for name in ("a.jpg", "A.jpg", "b.JPG"))
    assert index.find("a.jpg") == ["a.jpg"] and index.find("B.jpg") == ["b.JPG"]
    assert sorted(index.find("a.JPG")) == ["A.jpg", "a.jpg"] and index.find("c.jpg") == []


def test_what_is_no_text_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    (tmp_path / "print0").write_bytes(b"a.jpg\0bc.jpg\0def.jpg\0")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    for name in ("pipe", "folder", "loop", "zeros", "photo", "print0", "huge", "missing", "x" * 300, "a\0b"):
        with pytest.raises(InputError) as caught:
            read_text(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_damaged_tables_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    table, outcomes = tmp_path / "ages.csv", {True: 0, False: 0}
    for seed, encoding in enumerate(UNICODE):
        sound = table_text(";", ",", "file|age", "").encode(encoding)
        for what, data in damaged(sound, 300, seed):
            table.write_bytes(data)
            try:
                found = read_age_table(table, NAMES)
                assert set(found) <= set(NAMES) and all(0 <= age <= 100 for age in found.values()), what
            except InputError as error:
                assert str(table) in str(error), what
                outcomes[False] += 1
            else:
                outcomes[True] += 1
    assert min(outcomes.values()) > 50
