"""Many tensors under names, on disk: read and written one by one, never all in memory."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from compression.errors import UserError
from compression.mapped import release

SUFFIX = ".safetensors"
CHECKSUM = "crc32"


DTYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I16": torch.int16,
    "U8": torch.uint8,
    "I8": torch.int8,
    "BOOL": torch.bool,
}
"""Of a safetensors file, by the name they have there."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ORDER = ("I64", "F64", "I32", "F32", "BF16", "F16", "I16", "I8", "U8", "BOOL")
"""As the library sorts them: what is aligned to more bytes first."""


def write_safetensors(file: Path, tensors: Mapping[str, Tensor], floats: torch.dtype) -> None:
    """Write tensors to a safetensors file, one after the other; the bytes are those that the library would write.

    The library wants all of them in memory, converted and a second time as bytes.

    Args:
        file: where to.
        tensors: by name; those in a mapped file are released when they are written.
        floats: what float32 values are rounded to.
    """
    dtypes = {name: floats if t.dtype == torch.float32 else t.dtype for name, t in tensors.items()}
    order = sorted(tensors, key=lambda name: (_ORDER.index(_NAMES[dtypes[name]]), name))
    header: dict[str, object] = {}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].numel() * dtypes[name].itemsize
        shape, places = list(tensors[name].shape), [start, end]
        header[name] = {"dtype": _NAMES[dtypes[name]], "shape": shape, "data_offsets": places}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            value = tensors[name].detach().to(dtypes[name]).cpu().contiguous()
            out.write(value.flatten().view(torch.uint8).numpy().data)
            release(tensors[name])


def save_checked(tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors with a checksum of their bytes, by which `load_checked` notices a flipped bit."""
    kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(kept, file, {**(metadata or {}), CHECKSUM: _checksum(kept)})


def load_checked(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `save_checked` wrote: the tensors, and the metadata.

    Raises:
        SafetensorError: if the file is damaged.
        OSError: if it cannot be read.
    """
    with safe_open(file, "pt") as opened:
        metadata: dict[str, str] = opened.metadata() or {}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    if metadata.pop(CHECKSUM, "") != _checksum(tensors):
        raise SafetensorError(f"{file.name} is not what was written")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].detach().cpu().flatten().view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


class TensorFolder(MutableMapping[str, Tensor]):
    """A mapping from names to tensors, kept in a folder."""

    def __init__(self, folder: Path, part: str = "") -> None:
        """Use an existing folder, or the part of it that has a name; it is made where it does not exist.

        Parts of a folder belong together: a damaged tensor in one of them removes them all.
        """
        self._whole = folder
        self._folder = folder / part
        self._folder.mkdir(exist_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"

    def __getitem__(self, name: str) -> Tensor:
        """Read a tensor.

        Raises:
            UserError: if it cannot be read; the whole folder, being of no use any more, is removed.
        """
        try:
            return load_checked(self._file(name))[0]["tensor"]
        except (OSError, SafetensorError, KeyError) as error:
            shutil.rmtree(self._whole, ignore_errors=True)
            raise UserError(
                f"The cached statistics in {self._whole} were damaged ({name}); they have been removed: run it again."
            ) from error

    def __contains__(self, name: object) -> bool:
        """Whether there is such a tensor, without reading it."""
        return isinstance(name, str) and self._file(name).is_file()

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        """Write a tensor."""
        save_checked({"tensor": tensor}, self._file(name))

    def __delitem__(self, name: str) -> None:
        """Remove a tensor."""
        self._file(name).unlink()

    def __iter__(self) -> Iterator[str]:
        """The names, sorted."""
        return iter(sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}")))

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)
