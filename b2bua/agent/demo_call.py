"""`softswitch demo call`: plays caller and carrier through the running switch, prints the ladder and the record."""

import asyncio
import sys
from typing import Any

import asyncpg

from b2bua.agent.ladder import draw_ladder
from b2bua.agent.user_agent import Answerer, Caller
from b2bua.transport.address import ListenAddress, local_address
from conf.database import connect
from conf.embedded.location import database_url
from conf.settings import Settings

NUMBER = "442079460000"
SOURCE = "441234567890"
_PATIENCE = 10.0
"""Longest wait for an answer, and for the record, in seconds."""

_RECORD = """
    SELECT call_id, code, sip_code, received_at, answered_at, ended_at, duration, gross, currency, source_sent,
           destination_sent, ended_by
    FROM cdr WHERE a_call_id = $1 AND is_last
"""

_CHARGES = """
    SELECT cdr_charge.level, coalesce(account.code, carrier.code) AS who, tariff.name AS tariff, rate.prefix,
           rate.rate_per_minute, cdr_charge.billed_seconds, cdr_charge.net, cdr_charge.tax, cdr_charge.gross,
           cdr_charge.currency
    FROM cdr_charge
        LEFT JOIN account ON account.id = cdr_charge.account_id
        LEFT JOIN carrier ON carrier.id = cdr_charge.carrier_id
        JOIN tariff ON tariff.id = cdr_charge.tariff_id
        LEFT JOIN rate ON rate.id = cdr_charge.rate_id
    WHERE cdr_charge.call_id = $1
    ORDER BY cdr_charge.level < 0, cdr_charge.level
"""


def main(settings: Settings, seconds: float = 2.0) -> int:
    """Make the call; returns 0 when it was answered and its record is there."""
    return asyncio.run(_main(settings, seconds))


async def _main(settings: Settings, seconds: float) -> int:
    connection = await connect(database_url(settings))
    try:
        gateway = await connection.fetchrow("SELECT host, port FROM gateway WHERE name = 'demo-a'")
        if gateway is None:
            return _fail("the demo data is not loaded: run `softswitch demo` first")
        switch = _switch_address(settings)
        if switch is None:
            return _fail("the switch does not listen on UDP: [sip] listen names no udp:// address")
        carrier = Answerer(gateway["host"], gateway["port"])
        caller = Caller()
        await carrier.open()
        await caller.open()
        try:
            if not await _talk(caller, switch, seconds):
                return 1
        finally:
            _write(draw_ladder(caller.trace.messages, carrier.trace.messages) + "\n")
            caller.close()
            carrier.close()
        assert caller.leg is not None
        assert caller.leg.dialog is not None
        return await _show_record(connection, caller.leg.dialog.call_id)
    finally:
        await connection.close()


def _switch_address(settings: Settings) -> tuple[str, int] | None:
    for text in settings.sip.listen:
        address = ListenAddress.parse(text)
        if address.transport == "udp" and ":" not in address.host:
            return (local_address("127.0.0.1") if address.is_wildcard else address.host), address.port
    return None


async def _talk(caller: Caller, switch: tuple[str, int], seconds: float) -> bool:
    caller.call(NUMBER, SOURCE, *switch)
    answered = asyncio.ensure_future(caller.is_answered.wait())  # noqa: TID251 - both are awaited or cancelled below
    ended = asyncio.ensure_future(caller.is_ended.wait())  # noqa: TID251
    await asyncio.wait({answered, ended}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    answered.cancel()
    ended.cancel()
    if not caller.is_answered.is_set():
        said = f"answered {caller.status}" if caller.status else "did not answer"
        _fail(f"no call: the switch at {switch[0]}:{switch[1]} {said}; `softswitch doctor` looks for the reason")
        return False
    await asyncio.sleep(seconds)
    caller.hang_up()
    await asyncio.sleep(0.3)  # for the answers to both BYEs, which the ladder shows
    return True


async def _show_record(connection: "asyncpg.Connection[asyncpg.Record]", a_call_id: str) -> int:
    record = None
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while record is None:
        record = await connection.fetchrow(_RECORD, a_call_id)
        if record is None:
            if asyncio.get_running_loop().time() > deadline:
                return _fail("the record did not arrive: `softswitch doctor` looks at the CDR writer")
            await asyncio.sleep(0.1)
    charges = await connection.fetch(_CHARGES, record["call_id"])
    _write("\n" + "\n".join(_describe(record, charges)) + "\n")
    return 0 if record["code"] == "ANSWERED" else 1


def _describe(record: Any, charges: list[Any]) -> list[str]:  # noqa: ANN401 - rows
    lines = [
        f"call      {record['call_id']}",
        f"result    {record['code']} ({record['sip_code']}), ended by {record['ended_by']}",
        f"numbers   {record['source_sent']} -> {record['destination_sent']}",
        f"answered  {record['answered_at']:%Y-%m-%d %H:%M:%S} UTC for {record['duration']} s",
        f"price     {record['gross'].normalize():f} {record['currency']}",
    ]
    for charge in charges:
        whose = "carrier" if charge["level"] < 0 else "account" if charge["level"] == 0 else "reseller"
        rate = f"{charge['rate_per_minute'].normalize():f}/min" if charge["rate_per_minute"] is not None else "-"
        lines.append(
            f"  {whose:9} {charge['who']:10} {charge['billed_seconds']:4} s at {rate:10}"
            f" {charge['gross'].normalize():f} {charge['currency']} ({charge['tariff']}, prefix {charge['prefix']})"
        )
    return lines


def _write(text: str) -> None:
    sys.stdout.write(text)


def _fail(text: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    return 1
