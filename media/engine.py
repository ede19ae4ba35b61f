"""The media engine: takes requests of the `ng` protocol, keeps the calls, and decides which path their packets take.

It has no socket for requests (`media/server.py`) and no timer: whoever runs it calls `handle` for each request and
`handle_timers` every second.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

import structlog

from conf.settings import MediaSettings
from media import ng
from media.description import Medium
from media.digits import complete_answer, events_said, is_tapped, listen, note_events, play
from media.errors import MediaError, OutOfPorts, UnknownCall
from media.interface import Interface, Interfaces, parse_interfaces
from media.kernel_flow import Flow, FlowCount
from media.keys import protocol_towards
from media.ng import Message, Options, Source
from media.offer_answer import Place, Policy, read_answer, read_offer, write
from media.ports import PortPool
from media.restart import SessionFile, restore_all, save
from media.sdes import choose
from media.session import Call, Leg, Offer, Stream

log = structlog.get_logger()

SETUP_TIMEOUT: Final = 600.0
"""A call that nobody answers is forgotten after so long, in seconds."""

FORGET_AFTER: Final = 600.0
"""A call that fell silent is forgotten so long after it was told, if nobody deletes it: it may only be ringing, with an
early answer and no sound."""

COUNT_INTERVAL: Final = 5.0
"""The kernel's counters are read so often."""

LOOK_INTERVAL: Final = 60.0
"""Addresses and routes of this machine are looked at again so often."""

_LIST_LIMIT: Final = 32
_NAME_LIMIT: Final = 255


class KernelPath(Protocol):
    """What hands streams to the kernel; see `media/kernel.py`."""

    def hand_over(self, flow: Flow) -> bool:
        """Let the kernel pass a stream on; tells whether it does."""
        ...

    def take_back(self, flow: Flow) -> tuple[FlowCount, FlowCount]:
        """Let it no longer, and return what it has counted since the beginning, of the first end and the second."""
        ...

    def count(self) -> dict[Flow, tuple[FlowCount, FlowCount]]:
        """Return the counters of every stream that it passes on now."""
        ...

    def count_one(self, flow: Flow) -> tuple[FlowCount, FlowCount] | None:
        """Return the counters of one stream; None: it does not pass it on any more."""
        ...

    def take_ended(self) -> list[tuple[Flow, tuple[FlowCount, FlowCount]]]:
        """Return the streams that it dropped by itself since the last time, with their counters."""
        ...

    @property
    def state(self) -> str:
        """`kernel`, or why user space is used."""
        ...

    def close(self, *, keep: bool) -> None:
        """Stop; undo what was set up, unless it is kept for the engine that comes next."""
        ...


class Engine:
    """All calls of one engine.

    Args:
        settings: Section [media].
        kernel: Makes the faster path; None: there is none.
        file: Where calls are noted for a restart; None: nowhere.

    Raises:
        InvalidSetting: ports or interfaces cannot be used.
    """

    def __init__(
        self, settings: MediaSettings, kernel: KernelPath | None = None, file: SessionFile | None = None
    ) -> None:
        self._settings = settings
        self._kernel = kernel
        self._file = file
        self.ports = PortPool(settings.first_port, settings.last_port)
        self.interfaces = Interfaces(parse_interfaces(settings.interfaces))
        self._policy = Policy(settings.video, settings.t38)
        self._source = Source(settings.source)
        self.calls: dict[str, Call] = {}
        self._flows: dict[Flow, Stream] = {}
        self.notify: Callable[[Message], None] = lambda _: None
        """Tells clients what nobody has asked for."""
        self._notices = itertools.count(time.time_ns())
        self._counted_at = self._looked_at = 0.0
        self._commands: Mapping[str, Callable[[Message], Message]] = {
            "ping": lambda _: {"result": "pong"},
            "offer": self._offer,
            "answer": self._answer,
            "delete": self._delete,
            "query": self._query,
            "list": self._list,
            "timeouts": self._timeouts,
            "statistics": self._statistics,
            "block DTMF": lambda message: self._block_events(message, blocked=True),
            "play DTMF": self._play,
            "unblock DTMF": lambda message: self._block_events(message, blocked=False),
        }

    # Requests

    def handle(self, message: Message) -> Message:
        """Do a request and return its answer; never raises."""
        command = message.get("command")
        try:
            verb = self._commands.get(command) if isinstance(command, str) else None
            return ng.error("Unrecognized command") if verb is None else verb(message)
        except MediaError as error:
            return ng.error(str(error), error.status_hint)
        except ng.MalformedMessage as error:
            return ng.error(str(error))
        except Exception:
            log.exception("request could not be handled", command=command)
            return ng.error("internal error, see the log of the media engine")

    def _offer(self, message: Message) -> Message:
        call_id, tag = _name(message, "call-id"), _name(message, "from-tag")
        options = Options.from_message(message)
        body = _description(message)
        session = read_offer(body, options, self._policy)
        call = self.calls.get(call_id)
        if call is None:
            if len(self.calls) >= self._settings.max_calls:
                raise OutOfPorts("too many calls")
            call = Call(call_id, tag)
        side = _side_of(call, tag)
        # Of refused media too, whose places in the description count.
        call.streams += [Stream(medium.kind) for medium in session.media[len(call.streams) :]]
        try:
            places = [
                self._place(call, side, index, medium, options) if medium.port else None
                for index, medium in enumerate(session.media)
            ]
        except (MediaError, OSError) as error:
            if call_id not in self.calls:
                self._close(call)
            if isinstance(error, MediaError):
                raise
            # Another engine may have what this one lacks.
            raise OutOfPorts(f"no socket: {error.strerror}") from error
        self.calls[call_id] = call
        call.offer = Offer(side, session, options, body)
        call.signalled_at, call.active_at = time.time(), time.monotonic()
        if not call.is_answered:
            # Of later offers nothing counts before they are answered.
            self._apply(call, call.offer)
            self._connect(call)
        self._save(call)
        return {"result": "ok", "sdp": write(session, places, options)}

    def _answer(self, message: Message) -> Message:
        call, options = self._find(message), Options.from_message(message)
        tag, offer = _name(message, "to-tag"), call.offer
        if offer is None or call.side_of(_name(message, "from-tag")) != offer.side:
            raise UnknownCall("there is no offer of this tag")
        offered = [(medium.kind, medium.port > 0) for medium in offer.session.media]
        body = _description(message)
        session = read_answer(body, offered, options)
        other = 1 - offer.side
        offer.check_keys(call.streams, session)
        events = events_said(offer.body, offer.session, offer.options), events_said(body, session, options)
        complete_answer(session, events[0], offer.options, options)
        call.tags[other], call.tag_times[other] = tag, time.time()
        if not offer.is_applied:
            self._apply(call, offer)
        call.holds[other] = session.is_held
        places: list[Place | None] = []
        media = zip(call.streams, offer.session.media, session.media, *events, strict=False)
        for stream, asked, medium, *said in media:
            if not medium.port:
                self._take_back(stream)
                medium.protocol = asked.protocol
                stream.is_refused = True
                stream.unwire()
                places.append(None)
                continue
            places.append(self._accept(stream, offer, asked, medium, options))
            note_events(stream, offer.side, said, (medium, asked), (offer.options, options))
        call.is_answered = True
        call.signalled_at, call.active_at = time.time(), time.monotonic()
        self._connect(call)
        self._save(call)
        return {"result": "ok", "sdp": write(session, places, options)}

    def _delete(self, message: Message) -> Message:
        call = self.calls.get(_name(message, "call-id"))
        if call is None:
            if "fatal" in (message.get("flags") or ()):
                raise UnknownCall("Unknown call-id")
            return {"result": "ok", "warning": "Unknown call-id"}
        self._close(call)
        return {"result": "ok", **call.report()}

    def _query(self, message: Message) -> Message:
        call = self._find(message)
        for stream in call.streams:
            if stream.flow is not None and self._kernel is not None:
                self._note_counts(stream, self._kernel.count_one(stream.flow))
        return {"result": "ok", **call.report()}

    def _list(self, message: Message) -> Message:
        try:
            limit = int(message.get("limit", _LIST_LIMIT))
        except (TypeError, ValueError):
            raise ng.MalformedMessage("limit is not a number") from None
        return {"result": "ok", "calls": list(self.calls)[: max(0, limit)]}

    def _timeouts(self, _: Message) -> Message:
        return {"result": "ok", "calls": [call.call_id for call in self.calls.values() if call.is_timed_out]}

    def _statistics(self, _: Message) -> Message:
        return {
            "result": "ok",
            "statistics": {
                "calls": len(self.calls),
                "ports": 2 * self.ports.used,
                "kernel streams": len(self._flows),
                "decrypted streams": sum(
                    stream.is_decrypted for call in self.calls.values() for stream in call.streams
                ),
                "path": self._kernel.state if self._kernel is not None else "user space: switched off",
            },
        }

    def _block_events(self, message: Message, *, blocked: bool) -> Message:
        call = self._find(message)
        side = call.side_of(_name(message, "from-tag"))
        if side is None:
            raise UnknownCall("there is no side of this tag")
        for stream in call.streams:
            self._take_back(stream)
            stream.block_events(side, blocked=blocked)
        self._connect(call)
        return {"result": "ok"}

    def _play(self, message: Message) -> Message:
        call = self._find(message)
        side = call.side_of(_name(message, "from-tag"))
        if side is None:
            raise UnknownCall("there is no side of this tag")
        self._take_back(play(call, side, message))
        return {"result": "ok"}

    def _digit_heard(self, call: Call, side: int, digit: str, duration_ms: int) -> None:
        self.notify(ng.digit_heard(call.call_id, call.tags[side], digit, duration_ms, next(self._notices)))

    def _find(self, message: Message) -> Call:
        call = self.calls.get(_name(message, "call-id"))
        if call is None:
            raise UnknownCall("Unknown call-id")
        return call

    # Legs

    def _place(self, call: Call, side: int, index: int, medium: Medium, options: Options) -> Place:
        """Make sure that a medium has both its legs, and say where the receiver of the offer is to send."""
        stream = call.streams[index]
        protocol = protocol_towards(medium, options)
        if medium.has_keys:
            choose(medium.lines)
        near, far = (*options.direction, "", "")[:2]
        version = 6 if ":" in medium.address else 4
        if stream.legs[side] is None:
            # What comes from behind address translation takes the way of its signalling.
            peer = options.received_from or ("" if medium.is_unspecified else medium.address)
            stream.legs[side] = self._open(self.interfaces.choose(near, version, peer))
        if options.address_family:
            version = 6 if options.address_family == "IP6" else 4
        leg = stream.legs[1 - side]
        if leg is None or far or options.media_address or options.address_family:
            interface = self.interfaces.choose(far, version, "", options.media_address)
            if leg is None or leg.interface.address != interface.address:
                # The next gateway may be on another side of us than the last one.
                self._take_back(stream)
                self._close_leg(leg)
                leg = stream.legs[1 - side] = self._open(interface)
            leg.interface = interface
        is_muxed = medium.is_muxed and not {"demux", "reject"} & {*options.rtcp_mux}
        is_secure = b"SAVP" in protocol.upper() and not medium.is_passed_encrypted
        keys = leg.keys.offer(is_secure=is_secure, is_first=not call.is_answered)
        return replace(_place_of(leg, medium, is_muxed=is_muxed), protocol=protocol, keys=keys)

    def _apply(self, call: Call, offer: Offer) -> None:
        """Let what an offer says of its side count."""
        offer.is_applied = True
        call.holds[offer.side] = offer.session.is_held
        for stream, medium in zip(call.streams, offer.session.media, strict=False):
            leg = stream.legs[offer.side]
            if not medium.port or leg is None:
                continue
            self._take_back(stream)
            stream.kind = medium.kind
            stream.is_refused = False
            stream.take_over(medium)
            leg.keys.take_offer(medium)
            leg.aim(medium, offer.options.source or self._source, offer.options.received_from, is_muxed=leg.is_muxed)

    def _accept(self, stream: Stream, offer: Offer, asked: Medium, medium: Medium, options: Options) -> Place:
        """Let what an answer says of a medium count, and say where the offering side is to send."""
        leg, other = stream.legs[offer.side], stream.legs[1 - offer.side]
        if leg is None or other is None:
            raise UnknownCall("the medium was not offered")
        self._take_back(stream)
        stream.is_refused = False
        modes = {*offer.options.rtcp_mux}
        there = medium.is_muxed and asked.is_muxed and not {"demux", "reject"} & modes
        here = asked.is_muxed and "reject" not in modes and (there or "demux" in modes)
        source = offer.options.source or self._source
        leg.aim(asked, source, offer.options.received_from, is_muxed=here)
        other.aim(medium, options.source or self._source, options.received_from, is_muxed=there)
        other.keys.take_answer(medium)
        stream.take_over(medium)
        place = replace(_place_of(leg, medium, is_muxed=here), protocol=asked.protocol, keys=leg.keys.answered)
        return replace(place, address=options.media_address) if options.media_address else place

    def _open(self, interface: Interface) -> Leg:
        return Leg(interface, self.ports.open(interface.address))

    def _connect(self, call: Call) -> None:
        """Wire the legs as they now are, read from them, and hand to the kernel what it can take."""
        for stream in call.streams:
            if None in stream.legs:
                continue
            if stream.protocol:
                stream.wire()
            listen(call, stream, self._digit_heard)
            for leg in stream.legs:
                if leg is not None:
                    leg.rtp.locked = self._when_locked(call, stream)
                    if leg.keys.cipher is not None:
                        leg.keys.cipher.noted = partial(self._save, call)
                    leg.start()
            self._hand_over(call, stream)

    def _when_locked(self, call: Call, stream: Stream) -> Callable[[], None]:
        def locked() -> None:
            self._take_back(stream)
            self._hand_over(call, stream)
            self._save(call)

        return locked

    def _close(self, call: Call) -> None:
        """Give back everything that a call has."""
        self.calls.pop(call.call_id, None)
        for stream in call.streams:
            self._take_back(stream)
            for leg in stream.legs:
                self._close_leg(leg)
        if self._file is not None:
            self._file.drop(call.call_id)

    def _close_leg(self, leg: Leg | None) -> None:
        if leg is not None:
            leg.close()
            self.ports.close(leg.pair)

    def restore(self) -> None:
        """Go on with the calls of the engine before this one, as its file has them."""
        if self._file is None:
            return
        flows = frozenset(self._kernel.count() if self._kernel is not None else ())
        restore_all(self._file.load(), self.ports, self._policy, lambda call: self._take_up(call, flows))

    def _take_up(self, call: Call, flows: Set[Flow]) -> None:
        self.calls[call.call_id] = call
        for stream in call.streams:
            first, second = stream.legs
            if first is None or second is None or not stream.is_complete:
                continue
            flow = _flow_of(first, second)
            if flow is not None and flow in flows:
                self.adopt(stream, flow)
        self._connect(call)

    def remove_strays(self) -> None:
        """Take out of the kernel what belongs to no call: what an engine left that nobody could go on with."""
        if self._kernel is not None:
            for flow in self._kernel.count():
                if flow not in self._flows:
                    log.info("stream of no call is taken from the kernel", source=flow.first, port=flow.first_local[1])
                    self._kernel.take_back(flow)

    def close(self) -> None:
        """Stop. Calls that are still up are left to the engine that comes next, and the kernel goes on with them."""
        if self.calls:
            log.info("calls are left to the next engine", calls=len(self.calls))
            for call in self.calls.values():
                for stream in call.streams:
                    stream.close()
                    for leg in stream.legs:
                        if leg is not None:
                            self.ports.close(leg.pair)
        if self._kernel is not None:
            self._kernel.close(keep=bool(self.calls))
        if self._file is not None:
            self._file.close()

    def end(self) -> None:
        """End all calls."""
        for call in list(self.calls.values()):
            self._close(call)

    def _save(self, call: Call) -> None:
        if self._file is not None and call.call_id in self.calls:
            self._file.save(call.call_id, save(call))

    # The kernel

    def _hand_over(self, call: Call, stream: Stream) -> None:
        """Let the kernel pass a stream on, if both ends are known and nobody has to look at the packets."""
        first, second = stream.legs
        if self._kernel is None or stream.flow is not None or not stream.is_rtp or not stream.is_complete:
            return
        if first is None or second is None or any(call.holds) or first.rtp.out is None or stream.is_decrypted:
            return
        if first.rtp.blocked is not None or second.rtp.blocked is not None or is_tapped(stream):
            return
        flow = _flow_of(first, second)
        if flow is None or not all(self._is_outside(end[0]) for end in (flow.first, flow.second)):
            return
        if self._kernel.hand_over(flow):
            self.adopt(stream, flow)

    def adopt(self, stream: Stream, flow: Flow) -> None:
        """Note that the kernel passes a stream on."""
        stream.flow = flow
        self._flows[flow] = stream
        for side, leg in enumerate(stream.legs):
            if leg is not None:
                leg.was_in_kernel = True
                leg.rtp.silent_for = self._kernel_silence(stream, leg, side)

    def _is_outside(self, address: str) -> bool:
        """Whether packets to an address leave this machine; others never pass the hooks of forwarding."""
        return not self.interfaces.is_own(address)

    def _kernel_silence(self, stream: Stream, leg: Leg, side: int) -> Callable[[float], float]:
        asked_at = 0.0

        def silent_for(now: float) -> float:
            nonlocal asked_at
            if now - asked_at > 0.05 and stream.flow is not None and self._kernel is not None:
                asked_at = now
                self._note_counts(stream, self._kernel.count_one(stream.flow))
            return now - leg.last_at

        assert stream.legs[side] is leg
        return silent_for

    def _take_back(self, stream: Stream) -> None:
        """Let packets come to user space again."""
        flow, stream.flow = stream.flow, None
        if flow is None or self._kernel is None:
            return
        self._flows.pop(flow, None)
        self._settle(stream, self._kernel.take_back(flow))

    def _settle(self, stream: Stream, counts: tuple[FlowCount, FlowCount]) -> None:
        """Take over the last counters of an entry that is gone; a next one begins at 0."""
        self._note_counts(stream, counts)
        for leg in stream.legs:
            if leg is not None:
                leg.settle_kernel()

    def _note_counts(self, stream: Stream, counts: tuple[FlowCount, FlowCount] | None) -> None:
        if counts is None:
            return
        now = time.monotonic()
        for leg, count in zip(stream.legs, counts, strict=True):
            if leg is not None:
                leg.note_kernel(count, now)

    # Time

    def handle_timers(self, now: float) -> None:
        """Do what is due; called about every second."""
        if self._kernel is not None:
            for flow, counts in self._kernel.take_ended():
                if (stream := self._flows.pop(flow, None)) is not None:
                    # The ends were silent for a while: user space learns of what comes next, and hands it over again.
                    stream.flow = None
                    self._settle(stream, counts)
            if self._flows and now - self._counted_at >= COUNT_INTERVAL:
                self._counted_at = now
                for flow, counts in self._kernel.count().items():
                    if flow in self._flows:
                        self._note_counts(self._flows[flow], counts)
        for call in list(self.calls.values()):
            self._look_at(call, now)
        if now - self._looked_at >= LOOK_INTERVAL:
            self._looked_at = now
            self.interfaces.forget()
        if self._file is not None:
            self._file.tidy()

    def _look_at(self, call: Call, now: float) -> None:
        silent = now - max(call.active_at, call.last_packet_at)
        if not call.is_answered:
            if now - call.active_at > SETUP_TIMEOUT:
                log.warning("call was never answered, its ports are given back", call_id=call.call_id)
                self._close(call)
            return
        limit = self._settings.hold_timeout if any(call.holds) else self._settings.timeout
        if silent > limit + FORGET_AFTER:
            self._close(call)
        elif silent > limit and not call.is_timed_out:
            call.is_timed_out = True
            log.info("call fell silent", call_id=call.call_id, seconds=round(silent))
        elif call.is_timed_out and silent <= limit:
            call.is_timed_out = False
        for stream in call.streams:
            if stream.flow is None:
                self._hand_over(call, stream)


def _side_of(call: Call, tag: str) -> int:
    side = call.side_of(tag)
    if side is None:
        if call.tags[1]:
            raise UnknownCall("there is no side of this tag")
        call.tags[1], side = tag, 1
    return side


def _place_of(leg: Leg, medium: Medium, *, is_muxed: bool) -> Place:
    return Place(leg.interface.shown, leg.pair.port, leg.pair.port + 1 if medium.is_rtp else None, is_muxed)


def _flow_of(first: Leg, second: Leg) -> Flow | None:
    ends: list[Any] = [first.rtp.source, second.rtp.source]
    addresses = [end[0] for end in ends] + [first.interface.address, second.interface.address]
    if len({":" in address for address in addresses}) > 1:
        return None  # from IPv4 to IPv6 is beyond the kernel
    ours = [(leg.interface.address, leg.pair.port) for leg in (first, second)]
    return Flow(ends[0], ours[0], ours[1], ends[1])


def _name(message: Message, key: str) -> str:
    value = message.get(key)
    if not value or not ng.is_text(value) or len(value) > _NAME_LIMIT:
        raise ng.MalformedMessage(f"no {key}")
    return str(value)


def _description(message: Message) -> bytes:
    value = message.get("sdp")
    if not isinstance(value, str):
        raise ng.MalformedMessage("no sdp")
    return value.encode("utf-8", "surrogateescape")
