"""A SIP worker as the panel sees it: a control socket that answers from what a test put there."""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson


class Worker:
    """Speaks the control protocol with made-up calls."""

    def __init__(self, directory: Path, name: str = "sip-1") -> None:
        self.name = name
        self.path = directory / f"{name}.sock"
        self.calls: list[dict[str, Any]] = []
        self.live_up = True
        self.samples: list[list[Any]] = []
        self.requests: list[dict[str, Any]] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def add_call(
        self, call_id: str, chain: list[int], *, account: str = "CUST0001", state: str = "answered", age: float = 42.0
    ) -> dict[str, Any]:
        now = time.time()
        call = {
            "call_id": call_id,
            "worker": self.name,
            "account": account,
            "account_id": chain[0] if chain else None,
            "account_chain": chain,
            "device": "ip:1",
            "source": "442079460001",
            "destination": "4930901820",
            "carrier": "Carrier one",
            "gateway": "gateway-one",
            "attempt": 1,
            "state": state,
            "received_at": now - age - 3,
            "answered_at": now - age if state == "answered" else None,
        }
        self.calls.append(call)
        return call

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = orjson.loads(await reader.readline())
        self.requests.append(request)
        writer.write(orjson.dumps({"ok": True, **self._answer(request)}) + b"\n")
        await writer.drain()
        writer.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["verb"] == "ping":
            return {
                "worker": self.name,
                "calls": len(self.calls),
                "draining": False,
                "live_up": self.live_up,
                "revision": 1,
            }
        if request["verb"] == "calls":
            ids = request.get("account_ids")
            calls = [call for call in self.calls if ids is None or set(ids) & set(call["account_chain"])]
            return {"total": len(calls), "calls": calls[: request.get("limit", 1000)]}
        if request["verb"] == "hangup":
            kept = [call for call in self.calls if call["call_id"] != request.get("call_id")]
            ended = len(self.calls) - len(kept)
            self.calls[:] = kept
            return {"ended": ended}
        assert request["verb"] == "metrics"
        return {"samples": self.samples}
