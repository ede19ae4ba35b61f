"""Makes the call of a row on a running switch, and says what was expected and what came in the same words."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

from tests.behaviour import changes
from tests.behaviour.configuration import Configuration
from tests.behaviour.rows import ANY, Delivery, Refusal, Row
from tests.behaviour.traffic import Call, Program, callee, caller, register
from tests.support.crash import find_victim
from tests.support.sipp import Message
from tests.support.switch import Switch, free_port, wait_until

_TALK_MS: Final = 300
"""How long calls last where several have to be up at once."""
_HOLD_MS: Final = 2500
"""How long the call lasts that keeps a draining worker alive."""
_PATIENCE: Final = 8.0
_SILENCE: Final = 0.5
"""How long to wait for a record that must not come."""

_RECORD: Final = """
    SELECT code, object, sip_code, q850_cause, kind, b_call_id, coalesce(gross, 0) = 0 AS is_free
    FROM cdr WHERE a_call_id = $1 AND is_last
"""


class Runner:
    """Runs rows on a switch.

    Args:
        switch: Running, with the demo data.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._configuration = Configuration(switch)
        self._callees: dict[str, Program] = {}
        self._parts = ExitStack()
        self._numbers = count(1)
        self._ids: dict[str, int] = {}

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            self._set_up(parts)
            self._parts = parts.pop_all()
        return self

    def _set_up(self, parts: ExitStack) -> None:
        switch, directory = self._switch, self._switch.directory
        parts.enter_context(self._configuration)
        exchange_port, phone_port = free_port(), free_port()
        self._configuration.set_up(changes.SETUP.format(exchange_port=exchange_port))
        # Where it fails, the rows about telephones say so.
        register(directory, changes.PHONE, changes.PHONE_ADDRESS, phone_port, switch.port)
        places = {
            "carrier": (changes.CALLER_ADDRESS, switch.carrier_ports[0]),
            "other carrier": (changes.CALLER_ADDRESS, switch.carrier_ports[1]),
            "exchange": (changes.EXCHANGE_ADDRESS, exchange_port),
            "phone": (changes.PHONE_ADDRESS, phone_port),
        }
        for name, (address, port) in places.items():
            program = callee(directory, name.replace(" ", "-"), address, port)
            self._callees[name] = parts.enter_context(program)
        fetch = self._configuration.fetch
        device = "SELECT id FROM ip_device WHERE address = $1::text::cidr"
        self._ids["device"] = fetch(device, f"{changes.CALLER_ADDRESS}/32")[0]["id"]
        self._ids["phone"] = fetch("SELECT id FROM sip_user WHERE username = $1", changes.PHONE)[0]["id"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    def run(self, row: Row) -> tuple[str, str]:
        """Make a row's call; returns what was expected and what came, in words that are equal when all is well."""
        try:
            wait_until(lambda: self._switch.ask("ping")["calls"] == 0, "the calls of the row before to end", _PATIENCE)
            self._configuration.change(row.change)
            with self._state(row.needs):
                messages, call_ids = self._call(row)
                came = self._what_came(row, messages, call_ids[-1])
                earlier = [_final(messages, call_id).status for call_id in call_ids[:-1]]
        except Exception as error:  # whatever goes wrong with one row, the others are run
            return self._expected(row), f"{type(error).__name__}: {error}"
        if earlier != [row.earlier] * (row.calls - 1):
            came = f"{came}, but before it {earlier}"
        return self._expected(row), came

    # What is expected

    def _expected(self, row: Row) -> str:
        expected = row.expected
        if isinstance(expected, Delivery):
            told = _call_record("ANSWERED", 200, 16, expected.kind, is_free=expected.is_free)
            return _delivered(expected.to, expected.number, expected.caller, told)
        reason = f'Q.850;cause={expected.cause};text="{expected.code}"'
        record = f"{expected.code} {self._object(expected)} {expected.status}/{expected.cause}"
        return _refused(expected.status, reason, expected.retries, record if expected.is_recorded else "none")

    def _object(self, expected: Refusal) -> str:
        return f"[{expected.object.format(**self._ids)}]"

    # What comes

    def _call(self, row: Row) -> tuple[list[Message], list[str]]:
        name = f"row{next(self._numbers)}"
        talk_ms = _TALK_MS if row.calls > 1 else 0
        with caller(self._switch.directory, name, row.call, self._switch.port, row.calls, talk_ms) as program:
            program.wait(25.0)
        return program.messages(), [f"{name}-{number}" for number in range(1, row.calls + 1)]

    def _what_came(self, row: Row, messages: list[Message], call_id: str) -> str:
        final = _final(messages, call_id)
        wanted = row.expected
        record = self._record(call_id, is_expected=isinstance(wanted, Delivery) or wanted.is_recorded)
        if final.status == 200:
            name, invite = self._received(record["b_call_id"] if record else "")
            told = _call_record(*record[:1], *record[2:5], is_free=record["is_free"]) if record else "none"
            return _delivered(name, invite.number, invite.caller, told)
        told = "none"
        if record:
            named = record["object"]
            if isinstance(wanted, Refusal) and wanted.object == ANY and named:
                named = ANY
            told = f"{record['code']} [{named}] {record['sip_code']}/{record['q850_cause']}"
        return _refused(final.status, final.first("reason"), bool(final.first("retry-after")), told)

    def _record(self, call_id: str, *, is_expected: bool) -> Any:
        deadline = time.monotonic() + (_PATIENCE if is_expected else _SILENCE)
        while time.monotonic() < deadline:
            found = self._configuration.fetch(_RECORD, call_id)
            if found:
                return found[0]
            time.sleep(0.02)
        return None

    def _received(self, call_id: str) -> tuple[str, Message]:
        """Who got the INVITE of a Call-ID, and the INVITE."""
        for name, program in self._callees.items():
            for message in program.messages():
                if message.first_line.startswith("INVITE ") and message.first("call-id") == call_id:
                    return name, message
        return "nobody", Message(False, "INVITE sip:@ SIP/2.0")

    # Processes

    @contextmanager
    def _state(self, needed: str) -> Iterator[None]:
        if needed == "draining":
            with self._draining():
                yield
        elif needed == "no live store":
            with self._without_live_store():
                yield
        else:
            yield

    @contextmanager
    def _without_live_store(self) -> Iterator[None]:
        pid = wait_until(partial(find_victim, self._switch, "valkey-server"), "the live store's process")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: self._switch.ask("ping").get("live_up"), "the live store to be back")

    @contextmanager
    def _draining(self) -> Iterator[None]:
        """The worker has been told to go, and waits for one call to end."""
        with caller(self._switch.directory, "held", Call(), self._switch.port, 1, _HOLD_MS) as program:
            wait_until(lambda: self._switch.ask("ping")["calls"] == 1, "a call to keep the worker")
            self._switch.ask("drain", seconds=10)
            yield
            program.wait(_PATIENCE)


def _final(messages: list[Message], call_id: str) -> Message:
    """The answer that an INVITE got in the end."""
    finals = [
        message
        for message in messages
        if message.status >= 200
        and not message.is_sent
        and message.first("call-id") == call_id
        and message.first("cseq").endswith("INVITE")
    ]
    return finals[-1] if finals else Message(False, "SIP/2.0 0 no answer")


def _call_record(code: str, status: int, cause: int | None, kind: str, *, is_free: bool) -> str:
    return f"{code} {status}/{cause} {kind}, {'free' if is_free else 'charged'}"


def _delivered(name: str, number: str, source: str, record: str) -> str:
    return f"200, {name} gets {number} from {source}, record {record}"


def _refused(status: int, reason: str, retries: bool, record: str) -> str:
    after = ", Retry-After" if retries else ""
    return f"{status}, {reason or 'no Reason'}{after}, record {record}"
