"""How the second tab is laid out, and which event does what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from webpage.personal_tab import PersonalTab
from webpage.widgets import BUSY

INTRODUCTION = (
    "A personal model knows how one person ages. It learns from photos of many ages, about 50 as a rule. The "
    "ages are told by the date of birth and the date in each photo, or by names such as `34_1.jpg`; where an "
    "age is missing, choose the photo and type it. The aligned faces and the model stay on this machine "
    "until you remove them; the photos themselves go when you close the page."
)
REFRESH = 3.0  # seconds


@dataclass(frozen=True)
class AlbumWidgets:
    """The widgets of the photos; they are created where the page stands when this is made."""

    files: Any
    birth: Any
    look: Any
    message: Any
    small: Any
    overrule: Any
    years: Any
    set_age: Any
    name: Any
    train: Any


@dataclass(frozen=True)
class Watching:
    """The part of the tab that shows how far trainings are.

    Args:
        tab: tells it.
        owner: whose they are.
        models: which of them is shown.
        shown: sentence and picture.
    """

    tab: PersonalTab
    owner: Any
    models: Any
    shown: list[Any]

    def begin(self, event: Callable[..., Any], chosen: Any = None) -> None:
        """Upon an event the models are listed anew and one of them is shown."""
        named = self.models if chosen is None else chosen
        self.show(event(self.tab.names, [self.owner, named], self.models).then)

    def show(self, event: Callable[..., Any]) -> None:
        """Upon an event the chosen model is shown as it is now."""
        event(self.tab.watch, [self.owner, self.models], self.shown, show_progress="hidden")


def build(tab: PersonalTab, owner: Any) -> Watching:
    """Lays the tab out.

    Args:
        tab: what happens in it.
        owner: what the browser remembers of its visitor.

    Returns:
        The part that shows how far trainings are.
    """
    import gradio as gr

    gr.Markdown(INTRODUCTION)
    album = _album()
    gr.Markdown("## Your models")
    models = gr.Dropdown([], label="Model", visible=False, elem_id="own_model")
    status, result = gr.Markdown(elem_id="status"), gr.HTML(elem_id="result")
    with gr.Row():
        go_on, remove = gr.Button("Go on", elem_id="go_on"), gr.Button("Remove", elem_id="remove")
    watching = Watching(tab, owner, models, [status, result])
    watching.begin(_connect(tab, album, owner).then, album.name)
    watching.show(go_on.click(tab.go_on, [owner, models], None).then)
    watching.begin(remove.click(tab.remove, [owner, models], None).then)
    watching.show(gr.Timer(REFRESH).tick)
    watching.show(models.change)
    return watching


def _album() -> AlbumWidgets:
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            files = gr.File(label="Photos", file_count="multiple", height=180, elem_id="album")
            label = "Date of birth (where names do not tell the age)"
            birth = gr.Textbox(label=label, placeholder="1980-12-31", elem_id="birth")
            look = gr.Button("Look at the photos", elem_id="look")
        with gr.Column(scale=2, min_width=320):
            message = gr.Markdown(elem_id="album_message")
            small = gr.Gallery(
                label="Verdicts", columns=5, height=360, allow_preview=False, elem_id="verdicts"
            )
            with gr.Row():
                overrule = gr.Button("Keep it, or leave it out", elem_id="overrule")
                years = gr.Number(None, label="Age in the photo", minimum=0, maximum=100, elem_id="album_age")
                set_age = gr.Button("Set the age", elem_id="set_age")
    with gr.Row():
        name = gr.Textbox(label="Name", elem_id="name")
        train = gr.Button("Make the model", variant="primary", elem_id="train")
    return AlbumWidgets(files, birth, look, message, small, overrule, years, set_age, name, train)


def _connect(tab: PersonalTab, album: AlbumWidgets, owner: Any) -> Any:
    """Has the events of the photos handled; returns that of a training that began."""
    import gradio as gr

    chosen, bars = gr.State(None), gr.Progress(track_tqdm=True)

    def choose(event: gr.SelectData) -> Any:
        return event.index

    def look(sent: Any, birth: str, request: gr.Request, progress: gr.Progress = bars) -> Any:
        return tab.look(tab.visitors.of(request.session_hash), sent, birth)

    def overrule(index: int | None, request: gr.Request) -> Any:
        return tab.overrule(tab.visitors.of(request.session_hash), index)

    def set_age(index: int | None, years: float | None, request: gr.Request) -> Any:
        return tab.set_age(tab.visitors.of(request.session_hash), index, years)

    def train(owner: str, name: str, request: gr.Request) -> str:
        return tab.train(tab.visitors.of(request.session_hash), owner, name)

    shown = [album.message, album.small]
    album.small.select(choose, None, chosen)
    album.look.click(look, [album.files, album.birth], shown, **BUSY).then(lambda: None, None, chosen)
    album.overrule.click(overrule, chosen, shown, **BUSY)
    album.set_age.click(set_age, [chosen, album.years], shown, **BUSY)
    return album.train.click(train, [owner, album.name], album.message, **BUSY)
