"""Tensors in a file that is mapped into memory: what is not being read takes no memory.

The pages of a tensor come in when it is read, and `release` lets them go: the operating system keeps as many of them as
there is room for, and no process is charged for them. So a model runs, is calibrated and compressed in the memory of
one block (`compression.streamed`), and hardly a routine of the engine needs to know.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable
from weakref import WeakSet

import torch
from torch import Tensor, nn

from compression import store

ALIGNMENT = 4096
"""Bytes: every tensor begins on a page of its own."""


class MappedFile:
    """Room for tensors in a file without a name, which is gone with the process, however that ends."""

    def __init__(self, sizes: Iterable[int]) -> None:
        """Reserve the room on the disk: a full one shall say so now, and not break a write to a page later.

        Args:
            sizes: bytes of the tensors, in the order in which they are taken.

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

    def __deepcopy__(self, memo: object) -> MappedFile:
        """Itself: copies of a model share what lies in it, or copy it into memory."""
        return self

    def take(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Room for the next tensor, zero at first."""
        count = torch.Size(shape).numel()
        tensor = torch.frombuffer(self._pages, dtype=dtype, count=max(count, 1), offset=self._end)
        self._end += _padded(count * dtype.itemsize)
        return tensor[:count].view(shape)

    def put(self, tensor: Tensor) -> Tensor:
        """A tensor's values in the file; they come back when they are read."""
        values = self.take(tuple(tensor.shape), tensor.dtype)
        values.copy_(tensor)
        self.release()
        return values

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies in it."""
        return tensor.data_ptr() in self._addresses

    def release(self) -> None:
        """Let all pages go, where the operating system can; they come back when they are read."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)


_FILES: WeakSet[MappedFile] = WeakSet()


def _padded(size: int) -> int:
    return -(-max(size, 1) // ALIGNMENT) * ALIGNMENT


def _is_mapped(tensor: Tensor) -> bool:
    return any(file.holds(tensor) for file in tuple(_FILES))


def release(tensor: Tensor) -> None:
    """Let the pages of the file go in which a tensor lies; nothing happens to one in memory."""
    for file in tuple(_FILES):
        if file.holds(tensor):
            file.release()


def in_memory(tensor: Tensor) -> Tensor:
    """A tensor that lies in a file as a copy in memory, its pages released; any other as it is."""
    if not _is_mapped(tensor):
        return tensor
    copied = tensor.clone()
    release(tensor)
    return copied


def aside(model: nn.Module, tensors: list[Tensor]) -> list[Tensor]:
    """What a model has made on its way, to be read later: in a file, if that is where its weights are."""
    if not _is_mapped(next(model.parameters())):
        return list(tensors)
    file = MappedFile(tensor.nbytes for tensor in tensors)
    return [file.put(tensor) for tensor in tensors]


def keep_aside(model: nn.Module, layer: nn.Module) -> None:
    """Move a layer's buffers into a file, if that is where the weights of the model are that it belongs to."""
    if not _is_mapped(next(model.parameters())):
        return
    buffers = dict(layer.named_buffers())
    file = MappedFile(buffer.nbytes for buffer in buffers.values())
    object.__setattr__(layer, "mapped_file", file)  # whoever wants its pages released must find it
    for name, buffer in buffers.items():
        owner, _, last = name.rpartition(".")
        setattr(layer.get_submodule(owner), last, file.put(buffer))
