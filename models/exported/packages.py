"""The optional packages that write and run exported models."""

import importlib
from types import ModuleType

from utils.errors import InputError


def required(name: str) -> ModuleType:
    """An optional package.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"exported models need the Python package {name.partition('.')[0]} ({error}); "
            "run: pip install '.[onnx]'"
        ) from error
