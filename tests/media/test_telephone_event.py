"""Lines of telephone-events: found, added and taken out."""

from media.description import Medium, parse
from media.telephone_event import add_events, drop_events, events_of
from tests.media.descriptions import description


def medium(formats: str, lines: str = "", kind: str = "audio", protocol: str = "RTP/AVP") -> Medium:
    return parse(description(media=f"m={kind} 5000 {protocol} {formats}\n{lines}")).media[0]


EVENTS = "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=rtpmap:102 TELEPHONE-EVENT/48000\n"


def test_events_are_found_with_their_rates() -> None:
    assert events_of(medium("0 101 102", EVENTS)) == {101: 8000, 102: 48_000}
    assert events_of(medium("0 101", EVENTS)) == {101: 8000}
    assert events_of(medium("0")) == {}
    assert events_of(medium("t38", "", "image", "udptl")) == {}
    assert events_of(medium("0 x99", "a=rtpmap:x99 telephone-event/8000\n")) == {}
    assert events_of(medium("0 99", "a=rtpmap:99 telephone-event/x\n")) == {}


def test_events_are_added_where_there_are_none() -> None:
    plain = medium("0 8", "a=ptime:20\n")
    add_events(plain, {})
    assert (plain.formats, plain.lines) == (
        b"0 8 101",
        [b"a=ptime:20", b"a=rtpmap:101 telephone-event/8000", b"a=fmtp:101 0-15"],
    )
    add_events(plain, {99: 8000})
    assert events_of(plain) == {101: 8000}
    taken = medium("0 101", "a=rtpmap:101 opus/48000/2\n")
    add_events(taken, {})
    assert events_of(taken) == {96: 8000}
    known = medium("0")
    add_events(known, {110: 8000, 111: 48_000})
    assert events_of(known) == {110: 8000, 111: 48_000}
    for other in (medium("34", kind="video"), medium("t38", "", "image", "udptl")):
        before = other.formats
        add_events(other, {})
        assert other.formats == before


def test_events_that_nobody_listed_are_taken_out() -> None:
    both = medium("0 101 102", EVENTS)
    drop_events(both, {102: 48_000})
    assert (both.formats, both.lines) == (b"0 102", [b"a=rtpmap:102 TELEPHONE-EVENT/48000"])
    alone = medium("101", EVENTS)
    drop_events(alone, {})
    assert alone.formats == b"101"  # a medium has one format at least
