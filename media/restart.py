"""The calls of an engine in a file, so that the engine that follows one that died goes on with them.

A line of JSON for each change of a call, and one when it ends: written at once, not synced, since a crash of the
process loses nothing that write(2) has taken. The file is written anew at the start and when it has grown. It has the
keys of SRTP, without which a call could not go on; what is out of date of them is gone within a minute.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from media.description import lines_without
from media.errors import MediaError
from media.interface import Interface
from media.kernel_flow import FlowCount
from media.ng import Options, Source
from media.offer_answer import Policy, read_offer
from media.ports import PortPool
from media.relay import Endpoint, Port
from media.session import Call, Leg, Offer, Stream

log = structlog.get_logger()

State = dict[str, Any]

_TIDY_ABOVE: Final = 1024 * 1024
"""A file of so many bytes is written anew, …"""

KEYS_KEPT: Final = 60.0
"""Keys of calls that have ended, or that were changed, stay in the file no longer, in seconds."""

_KEYS: Final = (b"a=key-mgmt:", b"k=")
"""Lines that we do nothing with and that belong in no file."""

_TIDY_FACTOR: Final = 4
"""… if it is so many times as large as it was when it was last written."""


class SessionFile:
    """The file.

    Args:
        path: Where it is; made when it is first written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._states: dict[str, State] = {}
        self._descriptor = -1
        self._size = self._base = 0
        self._has_failed = False
        self._old_keys_since: float | None = None

    def load(self) -> dict[str, State]:
        """Read what an earlier engine left; a line that was cut off is passed over."""
        states: dict[str, State] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                try:
                    call_id, state = orjson.loads(line)
                except (ValueError, TypeError):
                    continue
                if state is None:
                    states.pop(call_id, None)
                else:
                    states[call_id] = state
        self._states = dict(states)
        self._write_anew()
        return states

    def save(self, call_id: str, state: State) -> None:
        """Note how a call is now."""
        self._note_old_keys(self._states.get(call_id))
        self._states[call_id] = state
        self._append(call_id, state)

    def drop(self, call_id: str) -> None:
        """Note that a call has ended."""
        if (state := self._states.pop(call_id, None)) is not None:
            self._note_old_keys(state)
            self._append(call_id, None)

    def tidy(self) -> None:
        """Write the file anew if it has grown, or has old keys."""
        old = self._old_keys_since is not None and time.monotonic() - self._old_keys_since >= KEYS_KEPT
        if old or self._size > max(_TIDY_ABOVE, _TIDY_FACTOR * self._base):
            self._write_anew()

    def _note_old_keys(self, state: State | None) -> None:
        if self._old_keys_since is None and state is not None and state.get("has_keys"):
            self._old_keys_since = time.monotonic()

    def close(self) -> None:
        """Close the file; with no call in it, remove it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not self._states:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _append(self, call_id: str, state: State | None) -> None:
        line = orjson.dumps((call_id, state), option=orjson.OPT_NON_STR_KEYS) + b"\n"
        try:
            if self._descriptor < 0:
                self._write_anew()
                return
            os.write(self._descriptor, line)
        except OSError as error:
            self._fail(error)
        self._size += len(line)

    def _write_anew(self) -> None:
        working = self._path.with_suffix(".new")
        data = b"".join(
            orjson.dumps(item, option=orjson.OPT_NON_STR_KEYS) + b"\n" for item in list(self._states.items())
        )
        try:
            working.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(working, flags, 0o600)
            os.write(descriptor, data)
            working.replace(self._path)
        except OSError as error:
            self._fail(error)
            return
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._old_keys_since = descriptor, None
        self._size = self._base = len(data)

    def _fail(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.error("calls cannot be noted for a restart", file=str(self._path), reason=str(error))


# A call as a state


def save(call: Call) -> State:
    """What has to be known of a call to go on with it."""
    return {
        "tags": call.tags,
        "created_at": call.created_at,
        "is_answered": call.is_answered,
        "holds": call.holds,
        "offer": None if call.offer is None else _save_offer(call.offer),
        "streams": [_save_stream(stream) for stream in call.streams],
        "has_keys": any(stream.is_decrypted for stream in call.streams),
    }


def _save_offer(offer: Offer) -> State:
    # As it was read: written with no place, only refused media would be left of it.
    return {
        "side": offer.side,
        "body": b"\n".join(lines_without(offer.body.splitlines(), _KEYS)).decode("utf-8", "replace"),
        "options": offer.options.to_message(),
        "is_applied": offer.is_applied,
    }


def _save_stream(stream: Stream) -> State:
    return {
        "kind": stream.kind,
        "protocol": stream.protocol,
        "is_rtp": stream.is_rtp,
        "is_secure": stream.is_secure,
        "is_refused": stream.is_refused,
        "codecs": stream.codecs,
        "rates": stream.rates,
        "legs": [None if leg is None else _save_leg(leg) for leg in stream.legs],
    }


def _save_leg(leg: Leg) -> State:
    return {
        "address": leg.interface.address,
        "shown": leg.interface.shown,
        "port": leg.pair.port,
        "is_muxed": leg.is_muxed,
        "protocol": leg.protocol,
        "keys": leg.keys.to_state(),
        "events": leg.events,
        "watched": leg.watched,
        "was_in_kernel": leg.was_in_kernel,
        "kernel": [leg.kernel_earlier.packets, leg.kernel_earlier.octets],
        "rtp": _save_port(leg.rtp),
        "rtcp": _save_port(leg.rtcp),
    }


def _save_port(port: Port) -> State:
    return {
        "advertised": port.advertised,
        "source": port.source,
        "policy": str(port.policy),
        "packets": port.packets,
        "octets": port.octets,
    }


def restore(call_id: str, state: State, ports: PortPool, policy: Policy) -> Call:
    """Make a call of its state, on the same ports.

    Raises:
        MediaError: a port is taken.
        OSError: an address is not ours any more, or another program has the port.
        ValueError: the state is not one (KeyError and TypeError too).
    """
    call = Call(call_id, "")
    call.tags, call.holds = list(state["tags"]), list(state["holds"])
    call.created_at, call.is_answered = state["created_at"], state["is_answered"]
    if (offer := state["offer"]) is not None:
        call.offer = _restore_offer(offer, policy)
    try:
        for each in state["streams"]:
            call.streams.append(stream := Stream(each["kind"]))
            _restore_stream(stream, each, ports)
    except BaseException:
        for leg in (leg for stream in call.streams for leg in stream.legs if leg is not None):
            leg.close()
            ports.close(leg.pair)
        raise
    return call


def _restore_offer(state: State, policy: Policy) -> Offer:
    options, body = Options.from_message(state["options"]), state["body"].encode()
    offer = Offer(state["side"], read_offer(body, options, policy), options, body)
    offer.is_applied = state["is_applied"]
    return offer


def _restore_stream(stream: Stream, state: State, ports: PortPool) -> None:
    stream.protocol, stream.is_rtp, stream.is_secure = state["protocol"], state["is_rtp"], state["is_secure"]
    stream.is_refused = state["is_refused"]
    stream.codecs = {int(payload): name for payload, name in state["codecs"].items()}
    stream.rates = {int(payload): rate for payload, rate in state["rates"].items()}
    for side, each in enumerate(state["legs"]):
        if each is not None:
            pair = ports.open_again(each["address"], each["port"])
            leg = stream.legs[side] = Leg(Interface(each["address"], each["shown"]), pair)
            _restore_leg(leg, each)


def _restore_leg(leg: Leg, state: State) -> None:
    leg.is_muxed = state["is_muxed"]
    leg.protocol = state.get("protocol", "")
    leg.keys.resume(state.get("keys"))
    leg.events, leg.watched = (_numbers(state.get(name, {})) for name in ("events", "watched"))
    # What came while no engine ran was not measured, whoever passed it on.
    leg.was_in_kernel = True
    leg.kernel = leg.kernel_earlier = FlowCount(*state["kernel"])
    for port, each in ((leg.rtp, state["rtp"]), (leg.rtcp, state["rtcp"])):
        port.packets, port.octets = each["packets"], each["octets"]
        port.resume(_endpoint(each["advertised"]), Source(each["policy"]), _endpoint(each["source"]))


def _numbers(values: dict[str, int]) -> dict[int, int]:
    return {int(payload): int(rate) for payload, rate in values.items()}


def _endpoint(value: Any) -> Endpoint | None:  # noqa: ANN401
    return None if value is None else (str(value[0]), int(value[1]))


def restore_all(states: dict[str, State], ports: PortPool, policy: Policy, keep: Callable[[Call], None]) -> None:
    """Restore what can be restored."""
    for call_id, state in states.items():
        try:
            keep(restore(call_id, state, ports, policy))
        except (MediaError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            log.warning("call of an earlier engine cannot go on", call_id=call_id, reason=str(error))
