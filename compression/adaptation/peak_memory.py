"""The most memory that a stretch of work held above what was held before it."""

from __future__ import annotations

from pathlib import Path

import psutil

from compression.allocator import give_back

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""What makes Linux forget the highest resident memory so far: proc(5)."""


class PeakMemory:
    """Resident memory from now on, above what is held now.

    On Linux the kernel keeps the highest value and is asked to begin anew; elsewhere the highest of what `look` saw.
    Memory that the C library keeps for later is given back first: it would hide what the work needs.
    """

    def __init__(self) -> None:
        """Begin."""
        give_back()
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._highest = self._before
        self._kept_by_kernel = _reset()

    def look(self) -> int:
        """The highest value so far, bytes."""
        now = self._process.memory_info().rss
        self._highest = max(self._highest, now, _high_water() if self._kept_by_kernel else now)
        return self._highest - self._before


def _reset() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _high_water() -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
