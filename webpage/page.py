"""The page: its tabs, its server, and what becomes of the files of its visitors."""

import importlib.util
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from options.web_options import WebOptions
from utils.errors import InputError
from utils.files.writing import write_text
from webpage import age_widgets, personal_widgets
from webpage.age_tab import AgeTab
from webpage.choices import default_choice, find_choices, licence_of
from webpage.desk import AgeingDesk
from webpage.personal_tab import PersonalTab
from webpage.trainings import DONE, Trainings
from webpage.visitors import Visitors
from webpage.widgets import changed

CONSENT = (
    "Use photos of yourself, or of people who agreed. Pictures made here are computed, not real: say so "
    "where you show them. Photos are deleted when you close the page, and are sent nowhere else."
)
CSS = "img.agelab {width: 100%; height: auto; border-radius: 8px} footer {display: none !important}"
USER = "agelab"


def serve(opts: WebOptions) -> None:
    """Serves the page until the process is stopped.

    Raises:
        InputError: gradio is not installed, no model is there, or the port is taken.
    """
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the page needs gradio; run: make web (or pip install '.[web]')")
    served = Path(tempfile.mkdtemp(prefix="agelab_web_"))
    # Both are read when gradio is imported.
    os.environ["GRADIO_TEMP_DIR"], os.environ["GRADIO_ANALYTICS_ENABLED"] = str(served), "False"
    visitors, trainings = Visitors(served), Trainings(opts)
    try:
        _launch(build(opts, visitors, trainings), opts)
    finally:
        trainings.close()
        visitors.close()


def build(opts: WebOptions, visitors: Visitors, trainings: Trainings) -> Any:
    """The page as gradio has it.

    Raises:
        InputError: no model is there, or the preset cannot be used.
    """
    import gradio as gr

    choices = find_choices(opts.weights_folder)
    default = str(default_choice(choices).path)
    trainings.global_checkpoint  # noqa: B018 - checked before anybody waits for it

    def is_offered(path: Path) -> bool:
        return path in {choice.path for choice in choices} or trainings.made(path)

    def models(owner: str) -> list[tuple[str, str]]:
        own = [training for training in trainings.of(owner) if trainings.status(training) == DONE]
        general = [(choice.label, str(choice.path)) for choice in choices]
        return general + [(f"{training.name} (personal)", str(training.checkpoint)) for training in own]

    with gr.Blocks(title="AgeLab", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        owner = gr.BrowserState("", storage_key="agelab", secret=_secret(trainings.root))
        gr.Markdown("# AgeLab")
        gr.Markdown(CONSENT, elem_id="consent")
        with gr.Tab("Age a photo") as first:
            tab = AgeTab(AgeingDesk(opts), visitors, is_offered)
            widgets = age_widgets.build(tab, models(""), default, lambda file: licence_of(Path(file)))
        with gr.Tab("A personal model") as second:
            personal = PersonalTab(visitors, trainings, opts.max_photos)
            watching = personal_widgets.build(personal, owner)

        def leave(request: gr.Request) -> None:
            visitors.leave(request.session_hash)

        page.load(trainings.owner, owner, owner)
        first.select(lambda owner: changed(choices=models(owner)), owner, widgets.model)
        watching.begin(second.select)
        page.unload(leave)
    return page.queue(max_size=opts.max_waiting)


def _secret(folder: Path) -> str:
    """What the browser's memory is encrypted with; the same when the page is opened another day.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / "secret.txt"
    if not path.is_file():
        write_text(secrets.token_hex(16), path)
    return path.read_text(encoding="utf-8").strip()


def _launch(page: Any, opts: WebOptions) -> None:
    try:
        page.launch(
            server_name=opts.host,
            server_port=opts.port or None,
            auth=(USER, opts.password) if opts.password else None,
            max_file_size=f"{opts.max_upload}mb",
            inbrowser=opts.open_browser,
            share=False,
            css=CSS,
            footer_links=[],
        )
    except OSError as error:
        raise InputError(f"--port={opts.port} cannot be used ({error}); choose another") from error
