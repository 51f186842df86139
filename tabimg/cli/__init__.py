"""The command line: one command from a table and a folder of photos to an answer.

Everything that it does, Python does too. typer and rich are the extra ``cli``; nothing else in the
package imports them, or this folder.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the console script ``tabimg``."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        print(f"tabimg needs typer and rich ({error}): pip install 'tabimg[cli]'", file=sys.stderr)
        sys.exit(1)
    from tabimg.cli.app import app

    app(prog_name="tabimg")
