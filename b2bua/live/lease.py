"""Things that one run at a time may have, of all workers on all machines.

They are taken for a while in the live store, renewed while they are used, and free again when their run has died.
"""

from collections.abc import Callable
from importlib import resources

from b2bua.live.connection import LiveConnection, Reply

Taken = Callable[[bool | None], None]
"""Gets whether it is ours now; None: the live store is away, and nothing has changed as far as we know."""


class Leases:
    """What one run has taken.

    Args:
        connection: The live store.
        instance: Name of this run, never used before.
    """

    def __init__(self, connection: LiveConnection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._script = resources.files("b2bua.live").joinpath("scripts/lease.lua").read_bytes()

    def take(self, key: str, seconds: float, answered: Taken) -> None:
        """Take something, or keep it, for so many seconds from now on."""

        def done(reply: Reply) -> None:
            answered(bool(reply) if isinstance(reply, int) else None)

        self._connection.execute(("EVAL", self._script, 1, key, self._instance, int(seconds * 1000)), done)

    def give_up(self, key: str) -> None:
        """Let others have it at once; what is not ours stays theirs."""
        self._connection.execute(("EVAL", self._script, 1, key, self._instance, 0), _ignore)


def _ignore(_: Reply) -> None:
    pass
