"""Many tensors under names, on disk, one file each: read when asked for, never all in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from compression.errors import UserError

SUFFIX = ".safetensors"


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
            return load_file(self._file(name))["tensor"]
        except (OSError, SafetensorError) as error:
            shutil.rmtree(self._whole, ignore_errors=True)
            raise UserError(
                f"The cached statistics in {self._whole} were damaged ({name}); they have been removed: run it again."
            ) from error

    def __contains__(self, name: object) -> bool:
        """Whether there is such a tensor, without reading it."""
        return isinstance(name, str) and self._file(name).is_file()

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        """Write a tensor."""
        save_file({"tensor": tensor.contiguous()}, self._file(name))

    def __delitem__(self, name: str) -> None:
        """Remove a tensor."""
        self._file(name).unlink()

    def __iter__(self) -> Iterator[str]:
        """The names, sorted."""
        return iter(sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}")))

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)
