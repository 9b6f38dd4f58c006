"""What both tabs say and change in the same way."""

import html
import re
from typing import Any

from utils.errors import InputError
from webpage.visitors import Visitor

# Of every event that computes: one after the other.
BUSY: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": 1}


def changed(**values: Any) -> Any:
    """What gradio takes for other properties of a widget."""
    import gradio as gr

    return gr.update(**values)


def failed(error: InputError, visitor: Visitor) -> str:
    """What went wrong, in a sentence without the folders of the server."""
    folders = re.compile(rf"{re.escape(str(visitor.folder))}[\\/]\w+[\\/]")
    return f"⚠️ {html.escape(folders.sub('', str(error)))}"
