"""A call of the engine: two sides, and for each medium a stream with a leg towards either of them.

A leg is a pair of ports of ours and what is known of the end behind it; what comes to one leg leaves by the other.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from media import ng, rtcp
from media.description import Description, Medium
from media.interface import Interface
from media.kernel_flow import Flow, FlowCount
from media.keys import LegKeys
from media.ports import Pair
from media.quality import ReportKeeper, judge
from media.relay import Port
from media.rtp import CLOCK_RATE, Reception
from media.sdp import STATIC_ENCODINGS, find_encodings

_EVENT: Final = "telephone-event"


class Leg:
    """One end of a stream.

    Args:
        interface: Our address towards it.
        pair: Our ports there.
    """

    __slots__ = (
        "events", "interface", "is_muxed", "keeper", "kernel", "kernel_earlier", "kernel_last_at", "keys", "pair",
        "protocol", "rtcp", "rtp", "was_in_kernel", "watched",
    )  # fmt: skip

    def __init__(self, interface: Interface, pair: Pair) -> None:
        self.interface = interface
        self.pair = pair
        self.rtp = Port(pair.rtp)
        self.rtcp = Port(pair.rtcp, is_rtcp=True)
        self.rtp.control, self.rtcp.sibling = self.rtcp, self.rtp
        self.is_muxed = False
        """Whether RTCP goes to the end's port of RTP."""
        self.keys = LegKeys()
        self.events: dict[int, int] = {}
        """Clock rate of the telephone-events that the end takes, by payload type."""
        self.watched: dict[int, int] = {}
        """Those of its own that are taken out; none: they pass."""
        self.protocol = ""
        """As the end has it."""
        self.keeper = ReportKeeper()
        self.kernel = FlowCount()
        """What the kernel has passed on from this end."""
        self.kernel_earlier = FlowCount()
        """Of that, what entries that are gone had counted."""
        self.kernel_last_at = 0.0
        self.was_in_kernel = False
        """Whether it ever did, so that what we measured is not all."""

    def aim(self, medium: Medium, policy: ng.Source, hint: str, *, is_muxed: bool) -> None:
        """Take over what a description says of the end."""
        self.is_muxed = is_muxed
        self.protocol = medium.protocol.decode("latin-1")
        self.rtp.aim(medium.endpoint, policy, hint)
        if not is_muxed:
            self.rtcp.aim(medium.rtcp_endpoint, policy, hint)

    def note_kernel(self, count: FlowCount, now: float) -> None:
        """Take over the counters of the entry that there is."""
        packets = self.kernel_earlier.packets + count.packets
        if packets > self.kernel.packets:
            self.kernel_last_at = now
        self.kernel = FlowCount(packets, self.kernel_earlier.octets + count.octets)

    def settle_kernel(self) -> None:
        """Keep what was counted: the entry is gone, the next one begins at 0."""
        self.kernel_earlier = self.kernel
        self.rtp.silent_for = self.rtp.silence

    def start(self) -> None:
        """Begin to read."""
        self.rtp.start()
        self.rtcp.start()

    def close(self) -> None:
        """Stop reading."""
        self.rtp.close()
        self.rtcp.close()
        self.keys.close()

    @property
    def packets(self) -> int:
        """RTP packets that came from the end, over either path."""
        return self.rtp.packets + self.kernel.packets

    @property
    def octets(self) -> int:
        """Their bytes."""
        return self.rtp.octets + self.kernel.octets

    @property
    def last_at(self) -> float:
        """When the last one came, monotonic; 0: none did."""
        return max(self.rtp.last_at, self.kernel_last_at)


class Stream:
    """One medium of a call."""

    __slots__ = ("codecs", "flow", "is_refused", "is_rtp", "is_secure", "kind", "legs", "protocol", "rates")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.protocol = ""
        self.is_rtp = self.is_secure = False
        """Secure: encrypted from end to end, so that nobody else reads RTCP."""
        self.is_refused = False
        """Whether the newest answer refused it."""
        self.legs: list[Leg | None] = [None, None]
        self.codecs: dict[int, str] = {}
        """Encoding name by payload type."""
        self.rates: dict[int, int | None] = {}
        """Clock rate by payload type, None where timestamps tell no time."""
        self.flow: Flow | None = None
        """What the kernel passes on now; None: nothing."""

    def take_over(self, medium: Medium) -> None:
        """Note what a description says of the medium itself."""
        self.protocol = medium.protocol.decode("latin-1")
        self.is_rtp, self.is_secure = medium.is_rtp, medium.is_passed_encrypted
        if not medium.is_rtp:
            return
        named = find_encodings(medium.lines)
        for payload in medium.formats.split():
            encoding = (named.get(payload) or STATIC_ENCODINGS.get(payload, b"")).decode("latin-1")
            if payload.isdigit() and len(payload) < 4 and encoding:
                name, _, rest = encoding.partition("/")
                rate = rest.partition("/")[0]
                self.codecs[int(payload)] = name
                known = int(rate) if rate.isdigit() and len(rate) < 9 and int(rate) else CLOCK_RATE
                self.rates[int(payload)] = None if name.lower() == _EVENT else known

    def wire(self) -> None:
        """Lead what comes to each leg to the other, as they now are."""
        first, second = self.legs
        if first is None or second is None or self.is_refused:
            return
        for leg, other in ((first, second), (second, first)):
            # What is no RTP may look like RTCP by chance; it all goes the same way then.
            control = other.rtp if other.is_muxed or not self.is_rtp else other.rtcp
            leg.rtp.cipher = leg.rtcp.cipher = leg.keys.cipher
            leg.rtp.control = leg.rtcp if self.is_rtp else leg.rtp
            leg.rtp.out, leg.rtp.out_control = other.rtp, control
            leg.rtcp.out = leg.rtcp.out_control = control
            if not self.is_rtp:
                leg.rtp.reception = None
            elif leg.rtp.reception is None:
                leg.rtp.reception = Reception(self.rates)
            heard = None if self.is_secure else _hear(leg.keeper, other.keeper)
            leg.rtp.heard = leg.rtcp.heard = heard

    def unwire(self) -> None:
        """Let nothing through until it is wired again."""
        for leg in self.legs:
            if leg is not None:
                leg.rtp.out = leg.rtp.out_control = leg.rtcp.out = leg.rtcp.out_control = None

    @property
    def is_complete(self) -> bool:
        """Whether both ends are known for certain."""
        return all(leg is not None and leg.rtp.source is not None for leg in self.legs)

    @property
    def is_decrypted(self) -> bool:
        """Whether it is SRTP on one of its legs, of which we have the keys."""
        return any(leg is not None and leg.keys.cipher is not None for leg in self.legs)

    def block_events(self, side: int, *, blocked: bool) -> None:
        """Keep telephone-events that come from a side, or let them through again."""
        leg = self.legs[side]
        event = next((payload for payload, name in self.codecs.items() if name.lower() == _EVENT), None)
        if leg is not None:
            leg.rtp.blocked = event if blocked else None

    def close(self) -> None:
        """Stop reading."""
        for leg in self.legs:
            if leg is not None:
                leg.close()

    # What is told

    def report(self, side: int, index: int, offset: float) -> ng.Message:
        """The figures of one side, as `query` has them.

        Args:
            side: 0 or 1.
            index: Of the medium, from 1.
            offset: What makes a time since 1970 of a monotonic one.
        """
        leg = self.legs[side]
        message: ng.Message = {"index": index, "type": self.kind, "protocol": self.protocol, "flags": []}
        if leg is not None and leg.protocol:
            message["protocol"] = leg.protocol
        if leg is None:
            return {**message, "streams": []}
        if leg.is_muxed:
            message["flags"].append("rtcp-mux")
        flags = ["RTP"] if self.is_rtp else []
        if leg.keys.cipher is not None:
            message["flags"].append("SDES")
            message["SRTP"] = leg.keys.report()
        if leg.rtp.source is not None:
            flags.append("confirmed")
        if self.flow is not None:
            flags.append("kernelized")
        first = _report_port(leg.rtp, leg.pair.port, flags, leg.last_at, offset)
        first["stats"] = {"packets": leg.packets, "bytes": leg.octets, "errors": leg.rtp.errors}
        if leg.rtp.reception is not None and leg.rtp.reception.ssrc >= 0:
            first["SSRC"] = leg.rtp.reception.ssrc
        streams = [first]
        if self.is_rtp:
            streams.append(_report_port(leg.rtcp, leg.pair.port + 1, ["RTCP"], leg.rtcp.last_at, offset))
        message["streams"] = streams
        if self.is_rtp and (quality := self.quality(side)):
            message["quality"] = quality
        return message

    def quality(self, side: int) -> ng.Message:
        """What is known of how the sound of a side fared; what is not is left out."""
        leg, other = self.legs[side], self.legs[1 - side]
        if leg is None or other is None or leg.rtp.reception is None:
            return {}
        reception, lost, jitter = leg.rtp.reception, None, None
        expected = reception.expected
        if not leg.was_in_kernel and expected:
            lost, jitter = reception.lost, reception.jitter
        elif (heard := other.keeper.heard) is not None:
            rate = self.rates.get(reception.payload_type, CLOCK_RATE) or CLOCK_RATE
            lost, jitter, expected = heard.lost, heard.jitter / rate, leg.packets
        codec = self.codecs.get(reception.payload_type, "")
        known = judge(codec, lost, expected, jitter, leg.keeper.round_trip, other.keeper.round_trip)
        figures: ng.Message = {"codec": codec} if codec else {}
        if known.lost is not None:
            figures["lost"] = known.lost
        # Bencode has whole numbers only.
        if known.jitter is not None:
            figures["jitter-ms"] = f"{1000 * known.jitter:.2f}"
        if known.round_trip is not None:
            figures["round-trip-ms"] = f"{1000 * known.round_trip:.1f}"
        if known.mos is not None:
            figures["mos"] = f"{known.mos:.2f}"
        return figures


def _hear(keeper: ReportKeeper, other: ReportKeeper) -> Any:  # noqa: ANN401 - a function of bytes and a time
    def heard(data: bytes, now: float) -> None:
        for report in rtcp.parse(data):
            keeper.receive(report, now)
            if report.ntp is not None:
                other.passed_on(report.ntp, now)

    return heard


def _report_port(port: Port, number: int, flags: list[str], last_at: float, offset: float) -> ng.Message:
    message: ng.Message = {
        "local port": number,
        "flags": flags,
        "stats": {"packets": port.packets, "bytes": port.octets, "errors": port.errors},
    }
    for key, endpoint in (("endpoint", port.target), ("advertised endpoint", port.advertised)):
        if endpoint is not None:
            family = "IPv6" if ":" in endpoint[0] else "IPv4"
            message[key] = {"family": family, "address": endpoint[0], "port": endpoint[1]}
    if last_at:
        message["last packet"] = int(last_at + offset)
    return message


class Offer:
    """An offer that waits for its answer, or had one.

    Args:
        side: Who made it.
        session: What it said, refused media with port 0.
        options: What it asked for.
        body: As it came.
    """

    __slots__ = ("body", "is_applied", "options", "session", "side")

    def __init__(self, side: int, session: Description, options: ng.Options, body: bytes) -> None:
        self.body = body
        self.side = side
        self.session = session
        self.options = options
        self.is_applied = False

    def check_keys(self, streams: Sequence[Stream], answer: Description) -> None:
        """Look whether an answer's keys are those of this offer, before anything of it counts.

        Raises:
            InvalidDescription: they are not.
        """
        for stream, medium in zip(streams, answer.media, strict=False):
            leg = stream.legs[1 - self.side]
            if medium.port and leg is not None:
                leg.keys.check_answer(medium)


class Call:
    """A call: its tags, its streams, its newest offer.

    Args:
        call_id: As the switch names it.
        from_tag: Of the side that made the first offer.
    """

    __slots__ = (
        "active_at", "call_id", "created_at", "holds", "is_answered", "is_timed_out", "offer", "signalled_at",
        "streams", "tag_times", "tags",
    )  # fmt: skip

    def __init__(self, call_id: str, from_tag: str) -> None:
        self.call_id = call_id
        self.tags: list[str] = [from_tag, ""]
        self.created_at = self.signalled_at = time.time()
        self.tag_times = [self.created_at, self.created_at]
        self.active_at = time.monotonic()
        """When something last came or was signalled, monotonic."""
        self.streams: list[Stream] = []
        self.offer: Offer | None = None
        self.is_answered = self.is_timed_out = False
        self.holds = [False, False]
        """Whether each side's last description is one of hold."""

    def side_of(self, tag: str) -> int | None:
        """Which side a tag is of."""
        return self.tags.index(tag) if tag and tag in self.tags else None

    @property
    def last_packet_at(self) -> float:
        """When the last packet of media came from either end, monotonic; 0: none did."""
        return max((leg.last_at for stream in self.streams for leg in stream.legs if leg is not None), default=0.0)

    def report(self) -> ng.Message:
        """The figures of the call, as `query` has them."""
        offset = time.time() - time.monotonic()
        tags: dict[str, ng.Message] = {}
        for side, tag in enumerate(self.tags):
            medias = [stream.report(side, index, offset) for index, stream in enumerate(self.streams, 1)]
            tags[tag] = {"tag": tag, "created": int(self.tag_times[side]), "medias": medias}
            if self.tags[1 - side]:
                tags[tag]["in dialogue with"] = self.tags[1 - side]
        return {
            "created": int(self.created_at),
            "last signal": int(self.signalled_at),
            "tags": tags,
            "totals": {"RTP": _total(tags, 0), "RTCP": _total(tags, 1)},
        }


def _total(tags: Mapping[str, ng.Message], place: int) -> ng.Message:
    """The sums of the ports of RTP (0) or RTCP (1)."""
    stats = [
        medium["streams"][place]["stats"]
        for side in tags.values()
        for medium in side["medias"]
        if len(medium["streams"]) > place
    ]
    return {key: sum(each[key] for each in stats) for key in ("packets", "bytes", "errors")}
