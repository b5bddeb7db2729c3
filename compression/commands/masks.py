"""``masks``: which rows and columns of every layer an adapted model kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.adaptation.types import GateMasks
from compression.commands.shared import SCHEMAS, JsonOption, app, check_output, show_table, write

SCHEMAS |= {"masks": GateMasks}


@app.command()
def masks(
    directory: Annotated[Path, typer.Argument(help="Folder of a run that adapt --out wrote.")],
    json_file: JsonOption = None,
) -> None:
    """Show which rows and columns of every layer an adapted model kept."""
    check_output(json_file)
    from compression.adaptation import folder
    from compression.adaptation.masks import masks_of

    found = masks_of(*folder.load(directory))
    cells: list[tuple[str, ...]] = [("layer", "rows kept", "columns kept", "removed")]
    for mask in found.masks:
        rows, columns = (sum(end - start for start, end in kept) for kept in (mask.kept_rows, mask.kept_columns))
        cells.append(
            (mask.site, f"{rows} of {mask.shape[0]}", f"{columns} of {mask.shape[1]}", f"{mask.removed_fraction:.1%}")
        )
    show_table(cells)
    write(found, json_file)
