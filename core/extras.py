"""Lazy import of optional libraries."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from convrec.core.errors import MissingExtraError


def require(module: str, extra: str, what_for: str) -> ModuleType:
    """Import ``module`` or raise :class:`MissingExtraError` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(module.split(".")[0], extra, what_for) from error


def installed(module: str) -> bool:
    """Whether ``module`` could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None
