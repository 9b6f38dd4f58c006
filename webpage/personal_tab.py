"""The second tab: photos of one person, their verdicts to overrule, a training, and before and after."""

import html
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.aging_model import load_aging_model
from utils.ages import is_age
from utils.errors import InputError
from utils.pictures.reading import open_rgb
from webpage.open_album import OpenAlbum, names_of
from webpage.screen import as_jpeg, in_page
from webpage.trainings import DATA, DONE, FAILED, HALTED, JUDGING, RESULT, WAITING, Training, Trainings
from webpage.visitors import Visitor, Visitors
from webpage.widgets import changed, failed

_STATUS = {
    WAITING: "waits until the training before it has ended",
    JUDGING: "is trained, and now set beside the global model",
    DONE: "is done: choose it under *Age a photo*",
    HALTED: "was stopped; it goes on from its last saved step",
}
Looked = tuple[str, Any]  # sentence, gallery


@dataclass(frozen=True)
class PersonalTab:
    """What happens in the tab.

    Args:
        visitors: whose photos.
        trainings: all personal models.
        max_photos: of one person.
    """

    visitors: Visitors
    trainings: Trainings
    max_photos: int

    # ------------------------------------------------------------ the photos

    def look(self, visitor: Visitor, sent: Sequence[str] | None, birth_date: str) -> Looked:
        """Photos were sent: they are measured and judged."""
        visitor.album = None
        try:
            if not sent:
                raise InputError("choose the photos of one person first")
            if len(sent) > self.max_photos:
                raise InputError(
                    f"{len(sent)} photos are more than the {self.max_photos} that this page takes"
                )
            photos, output = (visitor.emptied(name) for name in ("album", "data_set"))
            sources = [Path(path) for path in sent]
            visitor.sent.update(sources)
            for source, name in zip(sources, names_of(sources), strict=True):
                (photos / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source, photos / name)
            visitor.emptied("small")
            visitor.album = OpenAlbum(photos, output, self._crop, birth_date)
        except InputError as error:
            return failed(error, visitor), []
        return _shown(visitor, visitor.album)

    @cached_property
    def _crop(self) -> str:
        """How the global model wants faces cut."""
        return load_aging_model(self.trainings.global_checkpoint).crop

    def overrule(self, visitor: Visitor, index: int | None) -> Looked:
        """The chosen photo is to be kept, or left out after all."""
        return _after(visitor, index, OpenAlbum.overrule)

    def set_age(self, visitor: Visitor, index: int | None, years: float | None) -> Looked:
        """The age of the person in the chosen photo was typed."""

        def change(album: OpenAlbum, number: int) -> None:
            if years is None or not is_age(years):
                raise InputError("type an age from 0 to 100 years")
            album.set_age(number, years)

        return _after(visitor, index, change)

    # ------------------------------------------------------------ the trainings

    def train(self, visitor: Visitor, owner: str, name: str) -> str:
        """The kept photos become a data set, and a training begins."""
        try:
            if visitor.album is None:
                raise InputError("look at the photos first")
            place = self.trainings.place(owner, name)
            visitor.album.write()
            place.mkdir(parents=True)
            shutil.move(visitor.album.album.output, place / DATA)
        except InputError as error:
            return failed(error, visitor)
        visitor.album = None
        self.trainings.start(Training(place))
        return f"The model of {place.name} is being made. You may close this page and look again later."

    def names(self, owner: str, chosen: str | None) -> Any:
        """The choice among an owner's models."""
        names = [training.name for training in self.trainings.of(owner)]
        value = chosen if chosen in names else next(iter(names), None)
        return changed(choices=names, value=value, visible=bool(names))

    def watch(self, owner: str, name: str | None) -> tuple[str, str]:
        """How far a model is, and before and after side by side."""
        training = self._named(owner, name)
        if training is None:
            return "No model has been made here yet.", ""
        status, progress = self.trainings.status(training), training.progress
        said = _STATUS.get(status)
        if status == FAILED:
            said = f"could not be made: {training.state.get('sentence')}"
        if said is None:
            said = "begins" if progress is None else "step {} of {}, {} left".format(*progress)
        sheet = training.folder / RESULT / "life_span.png"
        if status != DONE or not sheet.is_file():
            return f"**{html.escape(training.name)}** {html.escape(said, quote=False)}", ""
        return f"**{html.escape(training.name)}** {said}\n\n{training.figures}", in_page(
            as_jpeg(open_rgb(sheet)), "true photos, global model, personal model"
        )

    def go_on(self, owner: str, name: str | None) -> None:
        """A stopped or failed training is started again."""
        training = self._named(owner, name)
        if training is not None and self.trainings.status(training) in (HALTED, FAILED):
            self.trainings.start(training)

    def remove(self, owner: str, name: str | None) -> None:
        """A model is deleted with its faces."""
        training = self._named(owner, name)
        if training is not None:
            self.trainings.remove(training)

    def _named(self, owner: str, name: str | None) -> Training | None:
        return next((training for training in self.trainings.of(owner) if training.name == name), None)


def _shown(visitor: Visitor, album: OpenAlbum) -> Looked:
    pictures = [(visitor.gives(path), text) for path, text in album.gallery(visitor.place("small"))]
    left = len(album.verdicts) - album.accepted
    return f"{album.accepted} photos are kept, {left} left out. Choose a photo to overrule.", pictures


def _after(visitor: Visitor, index: int | None, change: Callable[[OpenAlbum, int], None]) -> Looked:
    album = visitor.album
    if album is None or index is None:
        return "Choose a photo first.", changed()
    try:
        change(album, index)
    except InputError as error:
        return failed(error, visitor), changed()
    return _shown(visitor, album)
