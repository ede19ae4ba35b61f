"""Rows for the panel's tests: accounts, logins and call records, each with what the schema demands and no more."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
from argon2 import PasswordHasher

PASSWORD = "Correct-horse-7"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""The real thing, at a strength that only tests may have."""
HASH = QUICK.hash(PASSWORD)


@dataclass
class Data:
    """Writes rows through one connection."""

    connection: Any
    count: int = 0
    chains: dict[int, list[int]] = field(default_factory=dict)

    async def account(self, code: str, *, kind: str = "customer", parent: int | None = None, **columns: Any) -> int:
        account_id: int = await self.connection.fetchval(
            """
            INSERT INTO account (code, kind, parent_id, name, company, currency, status, max_sessions)
            VALUES ($1, $2, $3, $4, $5, 'EUR', $6, $7) RETURNING id
            """,
            code,
            kind,
            parent,
            columns.get("name", f"Name of {code}"),
            columns.get("company", ""),
            columns.get("status", "active"),
            columns.get("max_sessions"),
        )
        if balance := columns.get("balance"):
            await self.connection.execute(
                "UPDATE account_balance SET balance = $2 WHERE account_id = $1", account_id, Decimal(balance)
            )
        self.chains[account_id] = [account_id, *(self.chains[parent] if parent else [])]
        return account_id

    async def user(self, login: str, role: str = "administrator", account_id: int | None = None, **columns: Any) -> int:
        user_id: int = await self.connection.fetchval(
            """
            INSERT INTO panel_user (login, password_hash, role, account_id, must_change_password, status, time_zone)
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
            """,
            login,
            HASH,
            role,
            account_id,
            columns.get("must_change_password", False),
            columns.get("status", "active"),
            columns.get("time_zone", "UTC"),
        )
        return user_id

    async def record(self, account_id: int | None, **columns: Any) -> UUID:
        """One attempt; `chain`, the accounts above, is that of the account."""
        call_id: UUID = columns.get("call_id") or uuid4()
        self.count += 1
        received = columns.get("received_at") or datetime.now(UTC) - timedelta(seconds=self.count)
        await self.connection.execute("SELECT cdr_ensure_partition($1)", received)
        duration = Decimal(columns.get("duration", "61.500"))
        code = columns.get("code", "ANSWERED")
        answered = received + timedelta(seconds=4) if code == "ANSWERED" else None
        await self.connection.execute(
            """
            INSERT INTO cdr (call_id, attempt, is_last, received_at, answered_at, ended_at, duration, post_dial_delay,
                             account_id, account_chain, gateway_id, carrier_id, worker, a_call_id, b_address,
                             source_received, destination_received, destination_sent, a_transport,
                             sip_code, q850_cause, code, object, ended_by, gross, currency, kind,
                             device, a_address, destination_used, calls)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 1.8, $8, $9, $10, $11, 'sip-1', 'a@caller', '198.51.100.9:5060',
                    $12, $13, $14, 'udp', $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
            """,
            call_id,
            columns.get("attempt", 1),
            columns.get("is_last", True),
            received,
            answered,
            received + timedelta(seconds=4 + float(duration)),
            duration if code == "ANSWERED" else Decimal(0),
            account_id,
            self.chains.get(account_id, []) if account_id else [],
            columns.get("gateway_id"),
            columns.get("carrier_id"),
            columns.get("source", "442079460001"),
            columns.get("destination", "4930901820"),
            columns.get("destination_sent", "99#4930901820"),
            columns.get("sip_code", 200 if code == "ANSWERED" else 503),
            columns.get("q850_cause"),
            code,
            columns.get("object", ""),
            columns.get("ended_by", "caller"),
            columns.get("gross", Decimal("0.0712") if code == "ANSWERED" else None),
            columns.get("currency", "EUR"),
            columns.get("kind", "outgoing"),
            columns.get("device", "ip:1"),
            columns.get("address", "192.0.2.1:5060"),
            columns.get("destination_used", ""),
            columns.get("calls", 1),
        )
        return call_id

    async def trace(self, call_id: UUID, *messages: tuple[float, str, bool, str, str]) -> None:
        """The SIP messages of a call: seconds, leg, whether we sent it, peer, text."""
        received = await self.connection.fetchval("SELECT received_at FROM cdr WHERE call_id = $1", call_id)
        await self.connection.execute(
            "INSERT INTO call_trace (call_id, received_at, messages) VALUES ($1, $2, $3::text::jsonb)",
            call_id,
            received,
            orjson.dumps(messages).decode(),
        )

    async def charge(self, call_id: UUID, level: int, gross: str, *, account_id: int | None, **ids: int) -> None:
        received = await self.connection.fetchval("SELECT received_at FROM cdr WHERE call_id = $1", call_id)
        await self.connection.execute(
            """
            INSERT INTO cdr_charge (call_id, attempt, received_at, level, account_id, carrier_id, tariff_id, rate_id,
                                    billed_seconds, net, tax, gross, currency)
            VALUES ($1, 1, $2, $3, $4, $5, 1, 1, 62, $6, 0, $6, 'EUR')
            """,
            call_id,
            received,
            level,
            account_id,
            ids.get("carrier_id"),
            Decimal(gross),
        )

    async def carrier(self, code: str, name: str) -> int:
        carrier_id: int = await self.connection.fetchval(
            "INSERT INTO carrier (code, name, currency) VALUES ($1, $2, 'EUR') RETURNING id", code, name
        )
        return carrier_id

    async def gateway(self, carrier_id: int, name: str, status: str = "active") -> int:
        gateway_id: int = await self.connection.fetchval(
            "INSERT INTO gateway (carrier_id, name, host, status) VALUES ($1, $2, '198.51.100.9', $3) RETURNING id",
            carrier_id,
            name,
            status,
        )
        return gateway_id

    async def beat(self, age: float = 0.0) -> None:
        await self.connection.execute(
            """
            INSERT INTO cdr_writer (name, beat_at, backlog_bytes) VALUES ('w', now() - make_interval(secs => $1), 0)
            ON CONFLICT (name) DO UPDATE SET beat_at = EXCLUDED.beat_at
            """,
            age,
        )


async def connect(url: str) -> Data:
    return Data(await asyncpg.connect(url))
