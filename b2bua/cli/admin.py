"""`softswitch admin`: the panel, which this package may not import, in the place of this process."""

import os
import sys


def command() -> None:
    """Run the web panel and the REST API alone."""
    os.execv(sys.executable, [sys.executable, "-m", "admin"])  # noqa: S606 - the command is ours
