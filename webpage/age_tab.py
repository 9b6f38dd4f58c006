"""The first tab: a photo, a slider, and the person at that age beside the original."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import InputError
from webpage import downloads
from webpage.desk import AgeingDesk, Faces, OpenedPhoto
from webpage.screen import in_page
from webpage.visitors import Visitor, Visitors
from webpage.widgets import changed, failed

AGE, FROM_NOW = "age", "years from now"
FACE, WHOLE = "face", "whole photo"
ALL = "all"
START = 60  # years on the slider of a new page
RANGES = {AGE: (0, 100, START), FROM_NOW: (-60, 60, 20)}
NO_PHOTO = "Choose a photo."
Shown = tuple[str, str, str]  # sentence, picture, command line


@dataclass(frozen=True)
class Wanted:
    """What the visitor chose.

    Attributes:
        face: its number from the left, counted from 1, or all; None for the largest.
        counting: whether years are an age or counted from now.
        years: where the slider stands.
        view: the face alone, or the whole photo.
    """

    face: str | None
    counting: str
    years: float
    view: str

    @property
    def relative(self) -> bool:
        """Whether the years count from the person's own age."""
        return self.counting == FROM_NOW

    def faces(self, photo: OpenedPhoto) -> Faces:
        """The numbers of the faces, counted from 0."""
        if self.face == ALL:
            return tuple(range(len(photo)))
        return (int(self.face) - 1,) if self.face and int(self.face) <= len(photo) else (photo.main,)


@dataclass(frozen=True)
class AgeTab:
    """What happens in the tab.

    Args:
        desk: ages photos.
        visitors: whose photos.
        is_offered: tells whether a file is a model of the page; a request can name any.
    """

    desk: AgeingDesk
    visitors: Visitors
    is_offered: Callable[[Path], bool]

    def open(
        self, visitor: Visitor, sent: Any, checkpoint: str, aligned: bool, wanted: Wanted
    ) -> tuple[Any, ...]:
        """A photo was sent, or is looked at with another model: what is shown, and the choice of faces."""
        visitor.photo = None
        nothing = changed(choices=[], value=None, visible=False)
        if not sent:
            return NO_PHOTO, "", "", "", nothing
        try:
            if not self.is_offered(Path(checkpoint)):
                raise InputError("this page does not offer that model; choose one of the list")
            with self.desk.lock:
                path = kept(sent, visitor, self.visitors.served)
                photo = self.desk.open(path, checkpoint, aligned, visitor.folder)
        except InputError as error:
            return failed(error, visitor), "", "", "", nothing
        visitor.photo = photo
        return *self.look(visitor, wanted), _choice_of_faces(photo)

    def look(self, visitor: Visitor, wanted: Wanted) -> tuple[str, str, str, str]:
        """Other faces are looked at, or in another way: sentence, result, command line, and the original."""
        shown = self.age(visitor, wanted)
        photo = visitor.photo
        if photo is None or not shown[1]:
            return *shown, ""
        before = photo.before(wanted.faces(photo), wanted.view == WHOLE)
        return *shown, in_page(before, "the photo")

    def age(self, visitor: Visitor, wanted: Wanted) -> Shown:
        """The slider was moved."""
        photo = visitor.photo
        if photo is None:
            return NO_PHOTO, "", ""
        asked = wanted.faces(photo), wanted.years, wanted.relative
        try:
            with self.desk.lock:
                data = photo.at(*asked, wanted.view == WHOLE)
        except InputError as error:
            return failed(error, visitor), "", ""
        alt = f"{wanted.years:+g} years" if wanted.relative else f"at {wanted.years:g}"
        return _found(photo), in_page(data, alt), downloads.command_line(photo, *asked)

    def download(self, visitor: Visitor, wanted: Wanted, kind: str) -> tuple[str, Any]:
        """A file is wanted."""
        photo = visitor.photo
        nothing = changed(value=None, visible=False)
        if photo is None:
            return NO_PHOTO, nothing
        try:
            asked = wanted.faces(photo), wanted.years, wanted.relative
            made = downloads.make(self.desk, photo, *asked, kind, visitor.folder)
        except InputError as error:
            return failed(error, visitor), nothing
        return _found(photo), changed(value=visitor.gives(made), visible=True)


def kept(sent: Any, visitor: Visitor, served: Path) -> Path:
    """Copies what was sent to the folder of the visitor, under the name that it had.

    Args:
        sent: what the web server says of it.
        visitor: who sent it.
        served: where the web server keeps what is sent.

    Raises:
        InputError: it names another file of this machine.
    """
    path = Path(sent["path"]).resolve()
    if served.resolve() not in path.parents or not path.is_file():
        raise InputError("that photo was not sent to this page; choose it again")
    visitor.sent.add(path)
    copy = visitor.photos / Path(sent.get("orig_name") or path.name).name
    shutil.copyfile(path, copy)
    return copy


def _found(photo: OpenedPhoto) -> str:
    ages = ", ".join(f"{age.years:.0f}" for age in photo.own_ages)
    sources = " and the ".join(sorted({age.source for age in photo.own_ages}))
    many = "1 face" if len(photo) == 1 else f"{len(photo)} faces, from left to right"
    return f"{many}, aged {ages} by the {sources}."


def _choice_of_faces(photo: OpenedPhoto) -> Any:
    numbers = [str(number + 1) for number in range(len(photo))]
    several = len(photo) > 1
    return changed(
        choices=[*numbers, ALL] if several else numbers, value=numbers[photo.main], visible=several
    )
