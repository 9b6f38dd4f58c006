"""The page in a real browser: `pytest -m browser` with gradio, playwright and a Chromium on the path."""

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, run
from PIL import Image
from toy_photos import group_photo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE = 180_000  # milliseconds, on a busy machine
PRESET = "@{}\n--max_steps=2\n--val_interval=2\n"


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served."""
    pytest.importorskip("gradio", reason="gradio is not installed (pip install '.[web]')")
    folder = tmp_path_factory.mktemp("page")
    preset = folder / "short.args"
    preset.write_text(PRESET.format(ROOT / "configs" / "demo" / "mytimemachine.args"))
    words = ["--port=0", f"--exp_dir={folder / 'models'}", f"--preset={preset}", "--device=cpu"]
    log = folder / "log.txt"
    with log.open("w") as file:
        command = [sys.executable, "-u", str(ROOT / "scripts" / "web.py"), *words]
        environment = {**os.environ, "TMPDIR": str(folder)}
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        found = None
        while found is None and server.poll() is None:
            found = re.search(r"http://[\d.]+:\d+", log.read_text(encoding="utf-8"))
        assert found, log.read_text(encoding="utf-8")
        yield found[0]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    left = [path.name for path in folder.glob("agelab_*")]
    assert not left, f"files of visitors stayed: {left}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium() is None:
        pytest.skip("no Chromium on the path (apt install chromium)")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, opened by a new visitor."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = opened(context, address)
    yield page
    context.close()


def opened(context: Any, address: str) -> Any:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector("#photo input[type=file]", state="attached")
    return page


def shown(page: Any) -> str:
    return page.get_attribute("#after img", "src") or ""


def change(page: Any, action: Any) -> None:
    """Does something and waits for another picture."""
    before = shown(page)
    action()
    page.wait_for_function("old => document.querySelector('#after img')?.src !== old", arg=before)


def upload(page: Any, photo: Path) -> None:
    page.set_input_files("#photo input[type=file]", str(photo))
    page.wait_for_selector("#after img")


def set_years(page: Any, years: int) -> None:
    page.fill("#years input[type=number]", str(years))
    page.keyboard.press("Enter")


def test_slider_and_download(page: Any, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    photo = tmp_path / "astronaut.jpg"
    Image.fromarray(data.astronaut()).save(photo, quality=95)
    upload(page, photo)
    assert re.match(r"1 face, aged \d+ by the age classifier", page.inner_text("#message"))
    seconds = []
    for years in (20, 35, 50, 65, 80, 27, 42, 58, 72):
        begin = time.monotonic()
        change(page, partial(set_years, page, years))
        seconds.append(time.monotonic() - begin)
    print(f"a move of the slider: {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s")
    assert statistics.median(seconds) < 5  # 0.5 where nothing else is at work
    change(page, lambda: page.click("#view label:has-text('whole')"))
    page.screenshot(path=tmp_path / "desktop.png", full_page=True)
    page.click("#make")
    page.wait_for_selector("#file")
    with page.expect_download() as fetched:
        page.click("#file")
    fetched.value.save_as(tmp_path / "fetched.jpg")
    assert fetched.value.suggested_filename == "astronaut_72.jpg"

    flags = ["--align", "--faces=1", "--target_age=72", "--device=cpu", f"--exp_dir={tmp_path / 'out'}"]
    model = ROOT / "pretrained_models" / "demo" / "sam.pt"
    assert run("inference", f"--data_path={photo}", f"--checkpoint_path={model}", *flags).returncode == 0
    same = tmp_path / "out" / "inference_results" / "72" / "astronaut.jpg"
    assert same.read_bytes() == (tmp_path / "fetched.jpg").read_bytes()

    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_faces_years_from_now_and_other_models(page: Any, tmp_path: Path) -> None:
    upload(page, group_photo(tmp_path / "two.jpg"))
    assert "2 faces, from left to right" in page.inner_text("#message")
    change(page, lambda: page.click("#face label:has-text('all')"))
    change(page, lambda: page.click("#counting label:has-text('from now')"))
    assert page.input_value("#years input[type=number]") == "20"

    def choose() -> None:
        page.click("#model input")
        page.click("ul[role=listbox] li:has-text('Re-Aging')")

    change(page, choose)


def test_bad_input_is_a_sentence_on_the_page(page: Any, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "red").save(tmp_path / "red.png")
    (tmp_path / "text.jpg").write_text("no picture")
    for name, sentence in (("red.png", "no face found in red.png"), ("text.jpg", "cannot read text.jpg")):
        page.set_input_files("#photo input[type=file]", str(tmp_path / name))
        page.wait_for_selector(f"#message:has-text('{sentence}')")
        assert page.query_selector("#after img") is None
        page.reload()
        page.wait_for_selector("#photo input[type=file]", state="attached")


def test_visitors_are_kept_apart(browser: Any, address: str, page: Any, tmp_path: Path) -> None:
    upload(page, group_photo(tmp_path / "two.jpg"))
    other = browser.new_context()
    theirs = opened(other, address)
    assert theirs.query_selector("#after img") is None
    set_years(theirs, 30)
    theirs.wait_for_selector("#message:has-text('Choose a photo')")
    other.close()
    change(page, lambda: set_years(page, 30))


def test_a_personal_model_is_found_again(browser: Any, address: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = opened(context, address)
    page.click("button[role=tab]:has-text('personal')")
    page.click("#look")
    page.wait_for_selector("#album_message:has-text('choose the photos')")
    photos = sorted((ROOT / "assets" / "demo_person" / "train").glob("*.png"))[::5]
    page.set_input_files("#album input[type=file]", [str(photo) for photo in photos])
    page.wait_for_selector(f"#album:has-text('{photos[-1].stem}')")
    page.click("#look")
    page.wait_for_selector("#verdicts img")
    page.screenshot(path=tmp_path / "verdicts.png", full_page=True)
    page.fill("#name input, #name textarea", "Ada")
    page.click("#train")
    page.wait_for_selector("#album_message:has-text('is being made')")
    page.close()

    again = opened(context, address)
    again.click("button[role=tab]:has-text('personal')")
    again.wait_for_selector("#status:has-text('is done')", timeout=2 * PATIENCE)
    again.wait_for_selector("#result img")
    again.click("button[role=tab]:has-text('Age a photo')")
    again.click("#model input")
    again.wait_for_selector("ul[role=listbox] li:has-text('Ada (personal)')")
    again.keyboard.press("Escape")
    again.click("button[role=tab]:has-text('personal')")
    again.click("#remove")
    again.wait_for_selector("#status:has-text('No model')")
    context.close()
