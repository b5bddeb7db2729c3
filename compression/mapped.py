"""Tensors in a file that is mapped into memory: what is not being read takes no memory.

The pages of a tensor come in when it is read, and `release` lets them go: the operating system keeps as many of them as
there is room for, and no process is charged for them. So a model runs, is calibrated and compressed in the memory of
one block (`compression.streamed`), and hardly a routine of the engine needs to know.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from weakref import WeakSet

import torch
from torch import Tensor, nn

from compression import store

ALIGNMENT = 4096
"""Bytes: every tensor begins on a page of its own."""


class MappedFile:
    """Room for float32 tensors in a file without a name, which is gone with the process, however that ends."""

    def __init__(self, sizes: list[int]) -> None:
        """Reserve the room on the disk: a full one shall say so now, and not break a write to a page later.

        Args:
            sizes: numbers of values of the tensors.

        Raises:
            UserError: if the disk is full.
        """
        length = max(ALIGNMENT, sum(map(_padded, sizes)))
        folder = store.root() / "mapped"
        folder.mkdir(parents=True, exist_ok=True)
        with store.disk_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, length)
            else:
                file.truncate(length)
            self._pages = mmap.mmap(file.fileno(), length)
        self._end = 0
        start = torch.frombuffer(self._pages, dtype=torch.uint8).data_ptr()
        self._addresses = range(start, start + length)
        _FILES.add(self)

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """Room for the next tensor, zero at first."""
        count = torch.Size(shape).numel()
        tensor = torch.frombuffer(self._pages, dtype=torch.float32, count=max(count, 1), offset=self._end)
        self._end += _padded(count)
        return tensor[:count].view(shape)

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies in it."""
        return tensor.data_ptr() in self._addresses

    def release(self) -> None:
        """Let all pages go, where the operating system can; they come back when they are read."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)


_FILES: WeakSet[MappedFile] = WeakSet()


def _padded(values: int) -> int:
    return -(-max(values, 1) * 4 // ALIGNMENT) * ALIGNMENT


def release(tensor: Tensor) -> None:
    """Let the pages of the file go in which a tensor lies; nothing happens to one in memory."""
    for file in tuple(_FILES):
        if file.holds(tensor):
            file.release()


def in_memory(tensor: Tensor) -> Tensor:
    """A tensor that lies in a file as a copy in memory, its pages released; any other as it is."""
    if not any(file.holds(tensor) for file in tuple(_FILES)):
        return tensor
    copied = tensor.clone()
    release(tensor)
    return copied


def aside(model: nn.Module, sizes: list[int]) -> Callable[[Tensor], Tensor]:
    """Where to keep what a model makes on its way: in memory, or in a file, if that is where its weights are.

    Args:
        model: the model.
        sizes: numbers of values of the tensors that will come, in any order.

    Returns:
        What gives back a tensor's values, to be read later.
    """
    weight = next(model.parameters())
    if not any(file.holds(weight) for file in tuple(_FILES)):
        return lambda tensor: tensor
    file = MappedFile(sizes)

    def put(tensor: Tensor) -> Tensor:
        values = file.take(tuple(tensor.shape))
        values.copy_(tensor)
        file.release()
        return values

    return put
