"""How the first tab is laid out, and which event does what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from webpage import downloads
from webpage.age_tab import AGE, FACE, FROM_NOW, NO_PHOTO, RANGES, START, WHOLE, AgeTab, Shown, Wanted
from webpage.widgets import BUSY, changed


@dataclass(frozen=True)
class AgeWidgets:
    """The widgets of the tab; they are created where the page stands when this is made."""

    photo: Any
    model: Any
    licence: Any
    aligned: Any
    message: Any
    before: Any
    after: Any
    face: Any
    years: Any
    view: Any
    counting: Any
    kind: Any
    make: Any
    file: Any
    command: Any


def build(
    tab: AgeTab, models: Sequence[tuple[str, str]], default: str, licence: Callable[[str], str]
) -> AgeWidgets:
    """Lays the tab out.

    Args:
        tab: what happens in it.
        models: (label, file).
        default: the file that is chosen at first.
        licence: tells what the owners of a file allow.
    """
    widgets = _laid_out(models, default, f"Licence: {licence(default)}")
    widgets.model.change(lambda file: f"Licence: {licence(file)}", widgets.model, widgets.licence)
    widgets.counting.change(_slider, widgets.counting, widgets.years)
    _connect(tab, widgets)
    return widgets


def _laid_out(models: Sequence[tuple[str, str]], default: str, licence: str) -> AgeWidgets:
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            photo = gr.Image(
                label="Photo",
                elem_id="photo",
                height=260,
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                image_mode=None,
            )
            model = gr.Dropdown(models, value=default, label="Model", elem_id="model")
            allowed = gr.Markdown(licence, elem_id="licence")
            aligned = gr.Checkbox(label="The photo is an aligned face", elem_id="aligned")
        with gr.Column(scale=2, min_width=320):
            message = gr.Markdown(NO_PHOTO, elem_id="message")
            with gr.Row():
                before, after = (gr.HTML(elem_id=name, min_height=40) for name in ("before", "after"))
            face = gr.Radio(label="Which face", visible=False, elem_id="face")
            years = gr.Slider(*RANGES[AGE][:2], value=START, step=1, label="Age in years", elem_id="years")
            with gr.Row():
                view = gr.Radio([FACE, WHOLE], value=FACE, label="Shown", elem_id="view")
                counting = gr.Radio([AGE, FROM_NOW], value=AGE, label="Counted as", elem_id="counting")
            with gr.Row():
                kind = gr.Dropdown(downloads.kinds(), value=downloads.PHOTO, label="File", elem_id="kind")
                make = gr.Button("Make the file", elem_id="make")
                file = gr.DownloadButton("Download", visible=False, elem_id="file")
            with gr.Accordion("The same on the command line", open=False):
                command = gr.Code(language="shell", show_label=False, elem_id="command", interactive=False)
    of_photo = (photo, model, allowed, aligned, message, before, after)
    return AgeWidgets(*of_photo, face, years, view, counting, kind, make, file, command)


def _connect(tab: AgeTab, widgets: AgeWidgets) -> None:
    """Has the events of the widgets handled; gradio hands the request to what has one in its signature."""
    import gradio as gr

    def open_photo(
        sent: Any, checkpoint: str, aligned: bool, counting: str, years: float, view: str, request: gr.Request
    ) -> tuple[Any, ...]:
        visitor = tab.visitors.of(request.session_hash)
        return tab.open(visitor, sent, checkpoint, aligned, Wanted(None, counting, years, view))

    def look(face: str | None, counting: str, years: float, view: str, request: gr.Request) -> Any:
        return tab.look(tab.visitors.of(request.session_hash), Wanted(face, counting, years, view))

    def age(face: str | None, counting: str, years: float, view: str, request: gr.Request) -> Shown:
        return tab.age(tab.visitors.of(request.session_hash), Wanted(face, counting, years, view))

    def download(
        face: str | None, counting: str, years: float, view: str, kind: str, request: gr.Request
    ) -> tuple[str, Any]:
        visitor = tab.visitors.of(request.session_hash)
        return tab.download(visitor, Wanted(face, counting, years, view), kind)

    w = widgets
    wanted, shown = [w.face, w.counting, w.years, w.view], [w.message, w.after, w.command]
    for event in (w.photo.change, w.aligned.change, w.model.change):
        sent = [w.photo, w.model, w.aligned, *wanted[1:]]
        event(open_photo, sent, [*shown, w.before, w.face], preprocess=False, **BUSY)
    w.years.change(age, wanted, shown, trigger_mode="always_last", show_progress="hidden", **BUSY)
    for event in (w.face.input, w.view.input):
        event(look, wanted, [*shown, w.before], **BUSY)
    hidden = w.make.click(lambda: changed(value=None, visible=False), None, w.file)
    hidden.then(download, [*wanted, w.kind], [w.message, w.file], **BUSY)


def _slider(counting: str) -> Any:
    low, high, value = RANGES[counting]
    label = "Age in years" if counting == AGE else "Years from now"
    return changed(minimum=low, maximum=high, value=value, label=label)
