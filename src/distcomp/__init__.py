"""distcomp: data-parallel computation that packs tasks by the memory they really use.

    from distcomp import Client, TaskSpec

What is named here is imported when it is first used, so that `import distcomp` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it from typing, whose import takes longer than all of this
if TYPE_CHECKING:
    from distcomp.api import Client, Filter, SubmitOptions
    from distcomp.errors import (
        Ambiguous,
        BadInput,
        BadSetting,
        DistcompError,
        NotFound,
        StateFolderError,
        StoreRefused,
        StoreUnavailable,
    )
    from distcomp.model import Cause, Outcome, State, TaskSpec, TaskType

__version__ = "0.1.0"

__all__ = [
    "Ambiguous",
    "BadInput",
    "BadSetting",
    "Cause",
    "Client",
    "DistcompError",
    "Filter",
    "NotFound",
    "Outcome",
    "State",
    "StateFolderError",
    "StoreRefused",
    "StoreUnavailable",
    "SubmitOptions",
    "TaskSpec",
    "TaskType",
]

_IN_API = {"Client", "Filter", "SubmitOptions"}
_IN_MODEL = {"Cause", "Outcome", "State", "TaskSpec", "TaskType"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = "api" if name in _IN_API else "model" if name in _IN_MODEL else "errors"
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
