"""How the second tab is laid out, and which event does what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from web.personal_tab import PersonalTab
from web.widgets import BUSY

INTRODUCTION = (
    "A personal model knows how one person ages. It learns from photos of many ages, about 50 as a rule. The "
    "ages are told by the date of birth and the date in each photo, or by names such as `34_1.jpg`; where an "
    "age is missing, choose the photo and type it. The aligned faces and the model stay on this machine "
    "until you remove them; the photos themselves go when you close the page."
)
REFRESH = 3.0  # seconds


def build(tab: PersonalTab, owner: Any) -> "Watching":
    """Lays the tab out.

    Args:
        tab: what happens in it.
        owner: what the browser remembers of its visitor.

    Returns:
        The part that shows how far trainings are.
    """
    import gradio as gr

    gr.Markdown(INTRODUCTION)
    chosen = gr.State(None)
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            files = gr.File(label="Photos", file_count="multiple", height=180, elem_id="album")
            birth = gr.Textbox(
                label="Date of birth (where names do not tell the age)", placeholder="1980-12-31"
            )
            look = gr.Button("Look at the photos", elem_id="look")
        with gr.Column(scale=2, min_width=320):
            message = gr.Markdown(elem_id="album_message")
            small = gr.Gallery(
                label="Verdicts", columns=5, height=360, allow_preview=False, elem_id="verdicts"
            )
            with gr.Row():
                overrule = gr.Button("Keep it, or leave it out", elem_id="overrule")
                years = gr.Number(label="Age in the photo", minimum=0, maximum=100, elem_id="album_age")
                set_age = gr.Button("Set the age")
    with gr.Row():
        name = gr.Textbox(label="Name", elem_id="name")
        train = gr.Button("Make the model", variant="primary", elem_id="train")
    gr.Markdown("## Your models")
    models = gr.Dropdown([], label="Model", visible=False, elem_id="own_model")
    status, result = gr.Markdown(elem_id="status"), gr.HTML(elem_id="result")
    with gr.Row():
        go_on, remove = gr.Button("Go on", elem_id="go_on"), gr.Button("Remove", elem_id="remove")
    clock = gr.Timer(REFRESH)

    def choose(event: gr.SelectData) -> int:
        return event.index

    bars = gr.Progress(track_tqdm=True)

    def look_at(sent: Any, birth: str, request: gr.Request, progress: gr.Progress = bars) -> Any:
        return tab.look(tab.visitors.of(request.session_hash), sent, birth)

    def overruled(index: int | None, request: gr.Request) -> Any:
        return tab.overrule(tab.visitors.of(request.session_hash), index)

    def aged(index: int | None, years: float | None, request: gr.Request) -> Any:
        return tab.set_age(tab.visitors.of(request.session_hash), index, years)

    def trained(owner: str, name: str, request: gr.Request) -> str:
        return tab.train(tab.visitors.of(request.session_hash), owner, name)

    small.select(choose, None, chosen)
    look.click(look_at, [files, birth], [message, small], **BUSY).then(lambda: None, None, chosen)
    overrule.click(overruled, chosen, [message, small], **BUSY)
    set_age.click(aged, [chosen, years], [message, small], **BUSY)
    watched = Watching(tab, owner, models, [status, result])
    begun = train.click(trained, [owner, name], message, **BUSY).then(tab.names, [owner, name], models)
    watched.show(begun.then)
    watched.show(go_on.click(tab.go_on, [owner, models], None).then)
    watched.begin(remove.click(tab.remove, [owner, models], None).then)
    watched.show(clock.tick)
    watched.show(models.change)
    return watched


@dataclass(frozen=True)
class Watching:
    """The part of the tab that shows how far trainings are.

    Args:
        tab: tells it.
        owner, models: whose, and which.
        shown: sentence and picture.
    """

    tab: PersonalTab
    owner: Any
    models: Any
    shown: list[Any]

    def begin(self, event: Callable[..., Any]) -> None:
        """Upon an event the models are listed anew, then the chosen one is shown."""
        self.show(event(self.tab.names, [self.owner, self.models], self.models).then)

    def show(self, event: Callable[..., Any]) -> None:
        """Upon an event the chosen model is shown as it is now."""
        event(self.tab.watch, [self.owner, self.models], self.shown, show_progress="hidden")
