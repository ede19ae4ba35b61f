"""A SIP worker as the panel sees it: a control socket that answers from what a test put there."""

import asyncio
import re
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
        self.registrations: list[tuple[list[int], dict[str, Any]]] = []
        """With the chain of the account."""
        self.bans: list[dict[str, Any]] = []
        """The latest first."""
        self.gateways: dict[str, Any] = {"down": {}, "servers": {}, "sessions": {}}
        self.carrier_registrations: list[dict[str, Any]] = []
        self.explanation: dict[str, Any] = {}
        """The answer to `explain`; `error` refuses the question."""
        self.facts: dict[str, Any] = {}
        """What `ping` answers besides."""
        self.live_up = True
        self.samples: list[list[Any]] = []
        self.refused: set[str] = set()
        """Verbs that it cannot do."""
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

    def add_registration(self, username: str, chain: list[int], **changed: Any) -> dict[str, Any]:
        now = time.time()
        row = {
            "username": username,
            "sip_user_id": len(self.registrations) + 1,
            "account": "CUST0001",
            "account_id": chain[0],
            "contact": f"sip:{username}@192.168.1.7:5060",
            "source": "203.0.113.7:40123",
            "transport": "udp",
            "q": 1.0,
            "user_agent": "Desk 3000",
            "path": [],
            "behind_nat": True,
            "registered_at": now - 60,
            "expires_at": now + 540,
            "worker": self.name,
            "keep_alive": "options",
            "last_seen": now - 5,
            "unanswered": 0,
            **changed,
        }
        self.registrations.append((chain, row))
        return row

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = orjson.loads(await reader.readline())
        self.requests.append(request)
        answer = {"ok": False, "error": "no"} if request["verb"] in self.refused else self._answer(request)
        writer.write(orjson.dumps({"ok": True, **answer}) + b"\n")
        await writer.drain()
        writer.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        ping = {"worker": self.name, "calls": len(self.calls), "draining": False, "live_up": self.live_up}
        plain = {
            "ping": {**ping, "revision": 1, **self.facts},
            "metrics": {"samples": self.samples},
            "gateways": self.gateways,
            "carrier_registrations": {"worker": self.name, "registrations": self.carrier_registrations},
            "explain": {"ok": "error" not in self.explanation, **self.explanation},
        }
        if request["verb"] in plain:
            return plain[request["verb"]]
        if request["verb"] == "calls":
            ids = request.get("account_ids")
            calls = [call for call in self.calls if ids is None or set(ids) & set(call["account_chain"])]
            return {"total": len(calls), "calls": calls[: request.get("limit", 1000)]}
        if request["verb"] == "hangup":
            of, one = request.get("account_id"), request.get("call_id")
            kept = [call for call in self.calls if call["call_id"] != one and of not in call["account_chain"]]
            ended = len(self.calls) - len(kept)
            self.calls[:] = kept
            return {"ended": ended}
        if request["verb"] == "registrations":
            return self._list_registrations(request)
        if request["verb"] == "remove_registration":
            return {"removed": self._remove_registration(request["contact"])}
        return self._answer_about_bans(request)

    def add_ban(self, address: str, age: float = 60.0, **changed: Any) -> None:
        since = time.time() - age
        row = {"address": address, "since": since, "until": since + 900, "by": "sip-1", "reason": "scanner", **changed}
        self.bans.insert(0, row)

    def _answer_about_bans(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["verb"] == "bans":
            found = [ban for ban in self.bans if request["search"] in ban["address"]]
            return {"total": len(found), "bans": found[: request["limit"]]}
        if request["verb"] == "unban":
            kept = [ban for ban in self.bans if ban["address"] != request["address"]]
            lifted, self.bans = len(self.bans) - len(kept), kept
            return {"lifted": lifted}
        if not re.fullmatch(r"[0-9.]+", request["address"]):
            return {"ok": False, "error": f"{request['address']!r} is not an address; give one IPv4 or IPv6 address"}
        self.add_ban(request["address"], 0, by=request["by"], reason=request["reason"], seconds=request["seconds"])
        return {"address": request["address"]}

    def _remove_registration(self, contact: str) -> int:
        kept = [(chain, row) for chain, row in self.registrations if row["contact"] != contact]
        removed = len(self.registrations) - len(kept)
        self.registrations[:] = kept
        return removed

    def _list_registrations(self, request: dict[str, Any]) -> dict[str, Any]:
        ids, after, before = request["account_ids"], request["after"], request["before"]
        rows = [row for chain, row in self.registrations if ids is None or set(ids) & set(chain)]
        rows = [row for row in rows if request["search"] in f"{row['username']} {row['contact']} {row['source']}"]
        rows.sort(key=lambda row: (row["username"], row["contact"]))
        total = len(rows)
        rows = [row for row in rows if not after or [row["username"], row["contact"]] > after]
        if before:
            rows = [row for row in rows if [row["username"], row["contact"]] < before][-request["limit"] :]
        return {"total": total, "registrations": rows[: request["limit"]]}
