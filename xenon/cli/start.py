"""The way into the command line: Ctrl-C ends it in one line from the first import on."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit, see app.main."""
    try:
        from xenon.cli.app import main
    except KeyboardInterrupt:
        from xenon.cli.errors import EXIT_INTERRUPTED

        print("error: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    main()
