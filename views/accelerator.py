"""A GPU for heavy events where a Space lends one (ZeroGPU); everywhere else nothing changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

SECONDS = 180
"""How long an event may hold the GPU."""


def on_accelerator(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, with a GPU while it runs if this is a ZeroGPU Space.

    The package ``spaces`` is there on such a Space and is no dependency of ours. CPU Basic is what the app is made for:
    models stay where they were loaded.
    """
    if not os.environ.get("SPACES_ZERO_GPU"):
        return work
    import spaces

    decorated: Callable[..., Any] = spaces.GPU(duration=SECONDS)(work)
    return decorated
