"""Bindings in the live store: read, replaced if nobody else did, and looked through.

A SIP user's bindings are one value that expires with the last of them, so every worker finds them, a restart keeps them
and nothing has to be swept.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Final

import hiredis
import structlog

from b2bua.live.connection import LiveConnection, Reply, StoreAway
from b2bua.registrar.bindings import KEY_PATTERN, Binding, bindings_key, decode, encode, user_of_key

log = structlog.get_logger()

Read = Callable[[bytes | StoreAway], None]
"""Gets the stored value, empty where there is none."""

Replaced = Callable[[bytes | StoreAway | None], None]
"""Gets None when it is done, or the value that somebody else stored meanwhile."""

_PAGE: Final = 200
"""Keys of one step of a scan, so that calls go on between two steps."""


class BindingStore:
    """The bindings of every SIP user.

    Args:
        connection: The live store.
    """

    def __init__(self, connection: LiveConnection) -> None:
        self._connection = connection
        self._source = resources.files("b2bua.live").joinpath("scripts/bind.lua").read_bytes()
        self._script = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    def read(self, sip_user_id: int, answered: Read) -> None:
        """Read a SIP user's bindings."""
        self._connection.execute(("GET", bindings_key(sip_user_id)), lambda reply: answered(_value(reply)))

    def replace(self, sip_user_id: int, seen: bytes, bindings: Sequence[Binding], answered: Replaced) -> None:
        """Put bindings in the place of those that were read.

        Args:
            sip_user_id: Whose.
            seen: The value that was read.
            bindings: Those that live.
            answered: Gets the outcome.
        """
        expires_at = max((binding.expires_at for binding in bindings), default=0.0)
        new = encode(bindings) if bindings else b""
        rest = (1, bindings_key(sip_user_id), seen, new, int(expires_at * 1000))

        def done(reply: Reply) -> None:
            answered(None if reply == 1 else _value(reply))

        def tried(reply: Reply) -> None:
            if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
                self._connection.execute(("EVAL", self._source, *rest), done)
            else:
                done(reply)

        self._connection.execute(("EVALSHA", self._script, *rest), tried)

    async def scan(self, found: Callable[[int, list[Binding]], None]) -> None:
        """Look through the bindings of all SIP users, some of them at a time.

        Raises:
            StoreAway: the live store went away meanwhile.
        """
        cursor = b"0"
        while True:
            cursor, keys = await self._connection.call("SCAN", cursor, "MATCH", KEY_PATTERN, "COUNT", _PAGE)
            values = await asyncio.gather(*(self._connection.call("GET", key) for key in keys))
            for key, value in zip(keys, values, strict=True):
                if value is not None and (sip_user_id := user_of_key(key.decode("utf-8", "replace"))):
                    found(sip_user_id, read_bindings(value))
            if cursor == b"0":
                return


def read_bindings(value: bytes) -> list[Binding]:
    """The bindings of a stored value; what cannot be read is as good as none, and the next REGISTER mends it."""
    if not value:
        return []
    try:
        return decode(value)
    except ValueError as error:
        log.error("bindings are lost", error=str(error))
        return []


def _value(reply: Reply) -> bytes | StoreAway:
    if isinstance(reply, bytes):
        return reply
    if reply is None:
        return b""
    return reply if isinstance(reply, StoreAway) else StoreAway(str(reply))
