"""Digits of calls at an engine: which are taken out and told, which are put in (`play DTMF`)."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from media import ng
from media.description import Description, Medium, parse
from media.dtmf import DIGITS, LONGEST_MS, SHORTEST_MS, EventReader, Press, Tap
from media.errors import EngineRefused, UnknownCall
from media.ng import Message, Options
from media.offer_answer import CONVERTED
from media.session import Call, Leg, Stream
from media.telephone_event import add_events, drop_events, events_of

Heard = Callable[[Call, int, str, int], None]
"""Told of a digit: of which side, and how long it was in milliseconds."""

DURATION_MS = 250
VOLUME = 8
"""As rtpengine has them."""

EventsSaid = list[dict[int, int]]
"""Telephone-events of each medium as an end has listed them itself."""


def events_said(body: bytes, session: Description, options: Options) -> EventsSaid:
    """What a description lists before it is changed."""
    is_changed = not CONVERTED.isdisjoint((*options.codec_mask, *options.codec_transcode))
    return [events_of(medium) for medium in (parse(body) if is_changed else session).media]


def complete_answer(answer: Description, offered: EventsSaid, asked: Options, options: Options) -> None:
    """Let an answer list the events that whoever offered knows: more than were answered, or not those that we added.

    Args:
        answer: Is changed.
        offered: What the offering side has listed.
        asked: What was asked for with the offer.
        options: What is asked for with the answer.
    """
    for medium, known in zip(answer.media, offered, strict=False):
        if not CONVERTED.isdisjoint(asked.codec_transcode):
            drop_events(medium, known)
        if known and not CONVERTED.isdisjoint(options.codec_transcode):
            add_events(medium, known)


def note_events(
    stream: Stream, side: int, said: Sequence[dict[int, int]], shown: Sequence[Medium], options: Sequence[Options]
) -> None:
    """Note which events the ends take, and which of theirs are taken out.

    Args:
        stream: The medium.
        side: The one that has offered; of its values and the other's each of the rest is a pair.
        said: What each has listed itself.
        shown: The medium as each is shown it.
        options: What was asked for with the description of each.
    """
    for each, own, seen, asked in zip((side, 1 - side), said, shown, options, strict=True):
        if (leg := stream.legs[each]) is not None:
            leg.events = own
            leg.watched = {**events_of(seen), **own} if asked.takes_events else {}


def listen(call: Call, stream: Stream, heard: Heard) -> None:
    """Read the telephone-events that are taken out."""
    for side, leg in enumerate(stream.legs):
        if leg is None:
            continue
        if leg.watched:
            tap = _tap_of(leg)
            if tap.reader is None:
                tap.reader = EventReader(leg.watched, partial(heard, call, side))
            tap.reader.rates = leg.watched
        elif leg.rtp.tap is not None:
            leg.rtp.tap.reader = None


def is_tapped(stream: Stream) -> bool:
    """Whether digits are looked for, or put in; what is not needed any more is taken away."""
    is_needed = False
    for leg in stream.legs:
        if leg is not None and leg.rtp.tap is not None:
            if leg.rtp.tap.is_needed:
                is_needed = True
            else:
                leg.rtp.tap = None
    return is_needed


def play(call: Call, side: int, message: Message) -> Stream:
    """Put a digit into what comes from a side.

    Returns:
        The stream, which is no longer the kernel's to pass on.

    Raises:
        MalformedMessage: it is no digit.
        UnknownCall: the side has no sound.
        EngineRefused: the other side takes no telephone-events, or too many digits wait.
    """
    digit, seconds, volume = _read(message)
    stream = next((each for each in call.streams if each.kind == "audio" and not each.is_refused), None)
    leg, other = (stream.legs[side], stream.legs[1 - side]) if stream is not None else (None, None)
    if stream is None or leg is None or other is None or leg.rtp.out is None:
        raise UnknownCall("the side has no sound that passes")
    if stream.is_secure:
        raise EngineRefused("the sound is encrypted from end to end")
    payload_type, rate = _choose(stream, leg, other)
    _tap_of(leg).press(Press(digit, payload_type, rate, seconds, volume))
    return stream


def _choose(stream: Stream, leg: Leg, other: Leg) -> tuple[int, int]:
    """The events that the other end takes, if it can be at the clock rate of the sound (RFC 4733 §2.1)."""
    if not other.events:
        raise EngineRefused("the other side takes no telephone-events")
    spoken = stream.rates.get(leg.rtp.reception.payload_type) if leg.rtp.reception is not None else None
    return next(
        ((payload, rate) for payload, rate in other.events.items() if rate == spoken), (*other.events.items(),)[0]
    )


def _tap_of(leg: Leg) -> Tap:
    if leg.rtp.tap is None:
        leg.rtp.tap = Tap(leg.rtp.pass_on)
        reception = leg.rtp.reception
        # What the kernel has passed on was not seen here.
        if reception is not None and not leg.was_in_kernel and (place := reception.reached(time.monotonic())):
            leg.rtp.tap.begin_at(*place)
    return leg.rtp.tap


def _read(message: Message) -> tuple[str, float, int]:
    code = message.get("code", message.get("digit"))
    digit = DIGITS[code] if isinstance(code, int) and 0 <= code < len(DIGITS) else str(code).upper()
    if len(digit) != 1 or digit not in DIGITS:
        raise ng.MalformedMessage("code is no digit")
    try:
        duration, volume = int(message.get("duration", DURATION_MS)), abs(int(message.get("volume", VOLUME)))
    except (TypeError, ValueError):
        raise ng.MalformedMessage("duration or volume is not a number") from None
    return digit, min(LONGEST_MS, max(SHORTEST_MS, duration)) / 1000, min(63, volume)
