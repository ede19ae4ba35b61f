"""Messages of a call as a picture."""

import pytest

from admin.ladder import LANES, make_ladder
from cdr.trace import TracedMessage


def message(text: str = "INVITE sip:1@h SIP/2.0", leg: str = "a", *, is_sent: bool = False) -> TracedMessage:
    return TracedMessage(0.0, leg, is_sent, "udp:h:5060", text)


def test_no_messages_are_no_picture() -> None:
    assert make_ladder([]) is None


@pytest.mark.parametrize(
    ("leg", "is_sent", "start", "end"),
    [
        ("a", False, "caller", "switch"),
        ("a", True, "switch", "caller"),
        ("b", True, "switch", "called"),
        ("b", False, "called", "switch"),
    ],
)
def test_arrow_leads_from_who_sent_to_who_received(leg: str, is_sent: bool, start: str, end: str) -> None:
    ladder = make_ladder([message(leg=leg, is_sent=is_sent)])
    assert ladder is not None
    (arrow,) = ladder.arrows
    assert (arrow.start, arrow.end) == (LANES[start], LANES[end])
    assert arrow.head.startswith(f"{arrow.end},{arrow.y} ")
    assert min(LANES[start], LANES[end]) < arrow.middle < max(LANES[start], LANES[end])
    assert ladder.has_called is (leg == "b")


@pytest.mark.parametrize(
    ("text", "leg", "kind"),
    [
        ("BYE sip:1@h SIP/2.0", "a", "request"),
        ("SIP/2.0 183 Session Progress", "a", "provisional"),
        ("SIP/2.0 200 OK", "b", "success"),
        ("SIP/2.0 302 Moved", "b", "failure"),
        ("SIP/2.0 486 Busy", "b", "failure"),
        ("3 messages left out", "", "note"),
    ],
)
def test_kind_is_told_by_the_first_line(text: str, leg: str, kind: str) -> None:
    ladder = make_ladder([message(text, leg)])
    assert ladder is not None
    assert ladder.arrows[0].kind == kind


def test_arrows_stand_below_each_other_and_repeated_ones_say_so() -> None:
    ladder = make_ladder([message(), message(), message("SIP/2.0 500 " + "x" * 80, is_sent=True)])
    assert ladder is not None
    assert [arrow.title for arrow in ladder.arrows[:2]] == ["INVITE", "INVITE, again"]
    assert [arrow.number for arrow in ladder.arrows] == [1, 2, 3]
    assert ladder.arrows[0].y < ladder.arrows[1].y < ladder.arrows[2].y < ladder.height
    assert len(ladder.arrows[2].short_title) < len(ladder.arrows[2].title)
    assert ladder.arrows[0].short_title == "INVITE"
