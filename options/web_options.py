"""The command line of `scripts/web.py`."""

import ipaddress
from dataclasses import dataclass

from configs.paths_config import REPOSITORY, WEIGHTS_FOLDER
from options.evaluate_options import DEFAULT_PRESET
from options.machine_options import MachineOptions
from utils.errors import InputError
from utils.typed_options import Options, at_least, option, path, positive

OWN_MODELS = str(REPOSITORY / "runs" / "web")


@dataclass(frozen=True, kw_only=True)
class PageFiles(Options):
    """Which models there are, and where those go that are made on the page."""

    title = "files"

    weights_folder: str = option(
        str(WEIGHTS_FOLDER), path, "the models of the page: what ages faces in here", metavar="DIR"
    )
    exp_dir: str = option(OWN_MODELS, path, "personal models that are made on the page", metavar="DIR")
    preset: str = option(
        DEFAULT_PRESET, path, "how a personal model is trained; it names the global model", metavar="FILE"
    )


@dataclass(frozen=True, kw_only=True)
class ServerOptions(Options):
    """Who can open the page, and how much they may send."""

    title = "page"

    host: str = option(
        "127.0.0.1",
        str,
        "address to listen at; another than that of this machine alone opens the page to others",
    )
    port: int = option(7860, at_least(0, 65535), "0: any that is free")
    password: str | None = option(
        None, str, "ask for this password; needed where the page is open to others", metavar="TEXT"
    )
    max_upload: int = option(50, positive, "of one file", metavar="MEGABYTES")
    max_photos: int = option(200, positive, "of one person", metavar="N")
    max_waiting: int = option(32, positive, "requests that may wait in the queue", metavar="N")
    open_browser: bool = option(False, help="open the page in the browser of this machine")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can open the page."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def check(self) -> None:
        """Raises ``InputError`` for a page that anybody could open."""
        if not self.is_local and not self.password:
            raise InputError(
                f"--host={self.host} opens the page to other machines; give a --password, or leave --host out"
            )


@dataclass(frozen=True, kw_only=True)
class WebOptions(PageFiles, ServerOptions, MachineOptions):
    """Options of `scripts/web.py`."""
