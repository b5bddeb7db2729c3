"""The command line: ``python -m compression COMMAND``.

Results go to standard output, progress and errors to standard error. Bad input ends with one sentence and exit code 2.
"""

from __future__ import annotations

import sys

from compression import commands
from compression.commands.shared import SCHEMAS, app, errors
from compression.errors import UserError

__all__ = ["SCHEMAS", "app", "main"]
commands.load_all()


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        errors.print(f"error: {error}", style="bold", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
