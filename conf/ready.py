"""How a process tells the supervisor that it serves: one line on a pipe whose descriptor it inherited."""

import os
from typing import Final

READY_VARIABLE: Final = "SOFTSWITCH_READY_FD"
"""Environment variable with the number of the inherited descriptor; missing when nobody waits."""

READY_LINE: Final = b"ready\n"


def announce_ready() -> None:
    """Tell the supervisor, if there is one, that this process is ready; a second call does nothing."""
    descriptor = os.environ.pop(READY_VARIABLE, "")
    if not descriptor.isdecimal():
        return
    try:
        os.write(int(descriptor), READY_LINE)
        os.close(int(descriptor))
    except OSError:
        # The supervisor is gone, or the variable came from somewhere else: nobody is there to be told.
        return
