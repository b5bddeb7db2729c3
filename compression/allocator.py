"""What the C library does with memory that is free again: on Linux it can be asked to return it to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from functools import cache
from typing import Any

_MMAP_THRESHOLD = -3
"""``M_MMAP_THRESHOLD`` of glibc's mallopt(3)."""


def return_at_once(size: int) -> None:
    """From now on, take pieces of `size` bytes and more from the system one by one, and return each when it is free.

    By default glibc moves that limit up to 32 MB as it goes. Tensors then share heaps with what stays, and the gaps
    that they leave between are kept: with several threads, more than the work itself takes. Each such piece is zeroed
    by the system anew, so a limit below the size of usual activations costs time.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, size)


def give_back() -> None:
    """Return to the system what is free, also in the middle of heaps.

    Work that was given up half-way leaves tensors in cycles of frames and exceptions, which only a collection frees.
    """
    gc.collect()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library where it is glibc; None elsewhere."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
