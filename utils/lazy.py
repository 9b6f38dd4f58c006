"""Names of implementations that are imported only when they are needed."""

import importlib
from typing import Any


def implementation(reference: str) -> Any:
    """The function or class that ``module:name`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
