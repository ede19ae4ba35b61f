"""The control socket of a worker: answers requests of the command line, the supervisor and the panel."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import orjson
import structlog

from b2bua.control.messages import SIZE_LIMIT, ControlError, Message

log = structlog.get_logger()

Verb = Callable[[Message], Message | Awaitable[Message]]
"""Takes a request, returns its answer without `ok`, at once or later; raises ControlError for a refusal."""


class ControlServer:
    """Listens on `<run directory>/<worker>.sock`, which lies in a directory that only its owner may enter.

    Args:
        path: The socket; a leftover of a process that died is replaced.
        verbs: What can be asked.
    """

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=SIZE_LIMIT)
        self._path.chmod(0o600)

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(30.0):
                while line := await reader.readline():
                    writer.write(orjson.dumps(await self._answer(line)) + b"\n")
                    await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # the other side went away, is silent, or sent a line without an end
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Message:
        try:
            request = orjson.loads(line)
            verb = self._verbs[request["verb"]]
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "error": f"unknown request; verbs are {', '.join(self._verbs)}"}
        try:
            answer = verb(request)
            return {"ok": True, **(answer if isinstance(answer, dict) else await answer)}
        except ControlError as error:
            return {"ok": False, "error": str(error)}
        except Exception:
            log.exception("control request could not be handled", verb=request.get("verb"))
            return {"ok": False, "error": "internal error, see the log"}
