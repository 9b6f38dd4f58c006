"""The options of a run as its `opt.json` records them, with their defaults and meanings."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from options.given import Option, defaults_of
from options.train_options import COACHES, options_class
from utils.errors import InputError
from utils.files.text import read_text

OPTIONS, ENVIRONMENT = "opt.json", "environment"


def options_in(path: Path) -> dict[str, Any]:
    """The content of `opt.json` in the folder of a run.

    Raises:
        InputError: there is none, or it is damaged.
    """
    file = path / OPTIONS
    if not file.is_file():
        raise InputError(
            f"{path} is no folder of a training (there is no {OPTIONS}); name the --exp_dir of one"
        )
    try:
        content = json.loads(read_text(file, "the options of a run"))
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); start the training again, which writes it") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no options of a run; name the --exp_dir of a training")
    return content


def known_options(content: dict[str, Any]) -> dict[str, Option]:
    """The options in `opt.json`, those of the command in its order first."""
    coach, found = content.get("coach"), {}
    for option in defaults_of(options_class(coach)) if coach in COACHES else ():
        if option.name == "coach":
            found["coach"] = replace(option, value=coach, default=coach)
        elif option.name in content:
            found[option.name] = replace(option, value=content[option.name])
    rest = {name: Option(name, value) for name, value in content.items() if name != ENVIRONMENT}
    return found | {name: option for name, option in rest.items() if name not in found}


def command_of(options: dict[str, Option], path: Path) -> str:
    """A command line with the options of a run."""
    coach, folder = (options[name].value if name in options else None for name in ("coach", "exp_dir"))
    words = ["python", "scripts/train.py", f"--coach={coach}", f"--exp_dir={folder or path}"]
    chosen = (option for option in options.values() if option.differs)
    return shlex.join([*words, *(o.words for o in chosen if o.name not in ("coach", "exp_dir"))])
