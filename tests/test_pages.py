"""Pages: what is drawn where, what is escaped, and how many pictures fit."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from utils.pages import pictures
from utils.pages.blocks import (
    Bars,
    Block,
    Charts,
    Columns,
    Command,
    Facts,
    Film,
    Folded,
    Frame,
    Heading,
    Links,
    Notes,
    Page,
    Section,
    Table,
    Text,
)
from utils.pages.charts import BOTTOM, HEIGHT, LEFT, POINTS, RIGHT, TOP, WIDTH, drawn, log_helps, short_number
from utils.pages.markdown import markdown_blocks
from utils.pages.page import html_of, write_page
from utils.pages.pictures import PageJPEGs
from utils.pictures.curves import Curve, Panel

EVIL = '</script><script>alert(1)</script><img src="http://x/y" onerror=alert(1)>&"\'\u2028é'


class Elements(HTMLParser):
    """The elements of a page, its texts, and what was opened and not closed."""

    VOID = frozenset({"meta", "input", "img", "line", "path", "circle", "rect", "polygon"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_of(*blocks: Block) -> Page:
    return Page("A page", [Section("one", blocks)])


# ---------------------------------------------------------------- text


def test_whatever_a_page_is_given_is_shown_as_text() -> None:
    curve = Curve(EVIL, [0, 1], [1, 2])
    blocks: list[Block] = [
        Text(EVIL),
        Heading(EVIL),
        Facts([(EVIL, EVIL), ("empty", "")]),
        Command(EVIL, EVIL),
        Table([EVIL], [[EVIL]], [0]),
        Notes([EVIL], warning=True),
        Charts([Panel(EVIL, EVIL, EVIL, [curve])]),
        Bars(EVIL, [(EVIL, 3)]),
        Film(EVIL, [Frame(EVIL, b"a"), Frame(EVIL, b"b")], EVIL, EVIL),
        Links([(EVIL, EVIL), ("x", "javascript:alert(1)")]),
    ]
    page = Page(
        EVIL, [Section(EVIL, [*blocks, Folded(EVIL, blocks), Columns([(EVIL, blocks)])])], EVIL, [EVIL]
    )
    text = html_of(page)
    elements = Elements(text)
    assert not elements.open
    scripts = [attributes for tag, attributes in elements.found if tag == "script"]
    assert scripts == [{"type": "application/json"}] * 3 + [{}]  # the charts' values, and the page's own
    pictures = [attributes for tag, attributes in elements.found if tag == "img"]
    assert len(pictures) == 6 and all(a["src"].startswith("data:image/jpeg;base64,") for a in pictures)
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    links = [attributes["href"] for tag, attributes in elements.found if tag == "a"]
    assert not [link for link in links if link.startswith(("http", "javascript:"))]
    assert "".join(elements.texts).count("<script>alert(1)</script>") > 20
    assert "empty" not in elements.texts
    values = json.loads(next(t for t in elements.texts if t.startswith('{"box"')))
    assert values["curves"][0]["label"] == EVIL


def test_a_page_reaches_for_nothing_outside(tmp_path: Path) -> None:
    path = write_page(page_of(Text("a")), tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(", text)


def test_sections_without_blocks_are_left_out() -> None:
    text = html_of(Page("A", [Section("full", [Text("a")]), Section("hollow", [])]))
    assert "full" in text and "hollow" not in text


def test_markdown_of_our_reports() -> None:
    text = "# A title\n\n2026, `python a`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n- one\n- two\n"
    assert markdown_blocks(text) == [
        Heading("A title"),
        Text("2026, python a"),
        Table(["a", "b"], [["1", "2"], ["3", "4"]]),
        Notes(["one", "two"]),
    ]


# ---------------------------------------------------------------- diagrams


def test_lines_run_where_the_values_are() -> None:
    drawing = drawn(Panel("t", "x", "y", [Curve("a", [0, 5, 10], [0, 1, 2]), Curve("b", [0, 10], [2, 0])]))
    assert drawing is not None
    bottom, top = HEIGHT - BOTTOM, TOP
    margin = 0.04 / 1.08 * (bottom - top)
    first = [float(number) for number in re.findall(r"[\d.]+", drawing.lines[0].path)]
    expected = [
        LEFT,
        bottom - margin,
        (LEFT + WIDTH - RIGHT) / 2,
        (bottom + top) / 2,
        WIDTH - RIGHT,
        top + margin,
    ]
    assert first == pytest.approx(expected, abs=0.11)
    assert [line.last for line in drawing.lines] == ["2", "0"]
    assert tuple(text for _, text in drawing.x_ticks)[:3] == ("0", "2", "4")
    places = [place for place, _ in drawing.y_ticks]
    assert places == sorted(places, reverse=True) and min(places) >= top and max(places) <= bottom


def test_a_logarithmic_axis_where_it_helps() -> None:
    wide, narrow = Curve("a", [0, 1, 2], [100, 1, 0.01]), Curve("a", [0, 1], [1, 20])
    assert log_helps([wide]) and not log_helps([narrow]) and not log_helps([Curve("a", [0, 1], [0, 50])])
    drawing = drawn(Panel("t", "x", "y", [wide], log=True))
    assert drawing is not None and drawing.values["log"]
    heights = [float(pair.split()[1]) for pair in drawing.lines[0].path[1:].split("L")]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)
    assert {"0.1", "1", "10"} & {text for _, text in drawing.y_ticks}
    below = drawn(Panel("t", "x", "y", [Curve("a", [0, 1], [-1, 5])], log=True))
    assert below is not None and not below.values["log"]


def test_numbers_are_short() -> None:
    values = (0, 1.23456, 15000, 0.00025, -0.000163, 1e-9, 123456.7)
    assert list(map(short_number, values)) == ["0", "1.235", "15k", "2.5e-4", "-1.63e-4", "1e-9", "1.235e+05"]


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e12])
@pytest.mark.parametrize("log", [False, True])
def test_a_single_value_has_a_place(value: float, log: bool) -> None:
    drawing = drawn(Panel("t", "x", "y", [Curve("a", [7], [value])], log))
    assert drawing is not None
    ((x, y),) = drawing.lines[0].dots
    assert LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM


def test_what_is_no_number_is_left_out() -> None:
    drawing = drawn(Panel("t", "x", "y", [Curve("a", [0, 1, 2], [1, float("nan"), float("inf")])]))
    assert drawing is not None and drawing.values["curves"][0]["x"] == [0]
    assert drawn(Panel("t", "x", "y", [Curve("a", [0], [float("nan")])])) is None
    assert drawn(Panel("t", "x", "y", [])) is None


def test_long_curves_keep_their_means_and_extremes() -> None:
    steps = list(range(10_000))
    values = [float(step % 7) for step in steps]
    drawing = drawn(Panel("t", "x", "y", [Curve("a", [float(s) for s in steps], values)]))
    assert drawing is not None
    curve = drawing.values["curves"][0]
    assert len(curve["x"]) == POINTS and np.mean(curve["y"]) == pytest.approx(3, abs=0.05)
    heights = [float(corner.split(",")[1]) for corner in drawing.lines[0].band.split()]
    assert max(heights) - min(heights) == pytest.approx((HEIGHT - BOTTOM - TOP) / 1.08, abs=0.2)
    assert len(html_of(page_of(Charts([drawing.panel])))) < 60_000


# ---------------------------------------------------------------- pictures


def sheets(folder: Path, count: int) -> list[tuple[str, Path]]:
    found = []
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        found.append((f"step {number}", folder / f"{number:03d}.png"))
        Image.fromarray(noise).save(found[-1][1])
    return found


def test_films_are_thinned_evenly_to_what_fits(tmp_path: Path) -> None:
    files = sheets(tmp_path, 21)
    jpegs = PageJPEGs()
    whole = jpegs.film("a", files)
    assert [frame.label for frame in whole.frames] == [label for label, _ in files] and not whole.note
    one = len(whole.frames[0].jpeg)
    some = jpegs.film("a", files, budget=8 * one)
    assert [frame.label for frame in some.frames] == [
        "step 0",
        "step 4",
        "step 8",
        "step 12",
        "step 16",
        "step 20",
    ]
    assert some.note == "6 of 21 pictures, evenly"
    assert [frame.label for frame in jpegs.film("a", files, budget=5 * one // 2).frames] == [
        "step 0",
        "step 20",
    ]
    assert [frame.label for frame in jpegs.film("a", files, budget=1).frames] == ["step 20"]
    assert PageJPEGs().film("a", []).frames == []


def test_many_pictures_and_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST", 5)
    files = sheets(tmp_path, 23)
    film = PageJPEGs().film("a", files)
    assert [frame.label for frame in film.frames] == ["step 0", "step 8", "step 16", "step 22"]
    Image.new("RGB", (4000, 1000)).save(tmp_path / "large.png")
    with Image.open(_file(PageJPEGs().of(tmp_path / "large.png"), tmp_path)) as small:
        assert small.size == (1400, 350)


def _file(content: bytes, folder: Path) -> Path:
    (folder / "small.jpg").write_bytes(content)
    return folder / "small.jpg"


def test_a_picture_is_encoded_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = pictures.open_rgb
    monkeypatch.setattr(pictures, "open_rgb", lambda path: opened.append(path) or original(path))
    files, jpegs = sheets(tmp_path, 2), PageJPEGs()
    jpegs.film("a", files)
    jpegs.film("a", files)
    assert len(opened) == 2
    Image.new("RGB", (5, 5)).save(files[0][1])
    jpegs.film("a", files)
    assert opened[2:] == [files[0][1]]


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    files = sheets(tmp_path, 2)
    files[0][1].write_bytes(b"nothing")
    film = PageJPEGs().film("a", [*files, ("gone", tmp_path / "gone.png")])
    assert [frame.label for frame in film.frames] == ["step 1"]
    assert "000.png" in film.note and "no such picture" in film.note


# ---------------------------------------------------------------- in a browser


@pytest.mark.browser
def test_sliders_and_values_under_the_pointer(browser: Any, tmp_path: Path) -> None:
    films = [PageJPEGs().film(name, sheets(tmp_path, 4), group="together") for name in ("a", "b")]
    chart = Charts([Panel("t", "step", "y", [Curve("up", [0, 5, 10], [1, 2, 3]), Curve("one", [10], [7])])])
    path = write_page(page_of(chart, *films), tmp_path / "page.html")
    page = browser.new_page(viewport={"width": 360, "height": 700})
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text))
    page.on("request", lambda request: troubles.append(request.url) if "http" in request.url else None)
    page.goto(path.as_uri())
    assert page.locator(".slider output").all_inner_texts() == ["step 3", "step 3"]
    page.locator(".slider input").first.press("ArrowLeft")
    assert page.locator(".slider output").all_inner_texts() == ["step 2", "step 2"]
    shown = page.locator(".frame.shown")
    assert [shown.nth(i).get_attribute("data-label") for i in range(shown.count())] == ["step 2"] * 2
    box = page.locator(".chart svg").first.bounding_box()
    for share, said in ((0.55, "step 5\nup: 2"), (0.95, "step 10\nup: 3\none: 7")):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        assert page.locator("#tip").inner_text() == said
    assert page.evaluate("document.documentElement.scrollWidth") == 360  # nothing is wider than a phone
    page.emulate_media(media="print")
    assert page.locator(".frame:visible").count() == 4  # the first and the chosen one of each film
    assert not troubles
    page.close()
