"""The commands of ``python -m compression``, and what they share."""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Import every module of this package: a command is known from then on."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
