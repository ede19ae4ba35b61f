"""The ladder, to the last character."""

from b2bua.agent.ladder import draw_ladder
from b2bua.agent.user_agent import TracedMessage


def message(at: float, title: str, *, is_sent: bool) -> TracedMessage:
    return TracedMessage(at, is_sent, title, b"")


def test_ladder_is_drawn_in_the_order_of_time_when_both_ends_talk() -> None:
    caller = [
        message(100.0, "INVITE", is_sent=True),
        message(100.004, "180 Ringing", is_sent=False),
        message(102.5, "200 OK", is_sent=False),
        message(102.501, "ACK", is_sent=True),
    ]
    carrier = [
        message(100.002, "INVITE", is_sent=False),
        message(100.003, "180 Ringing", is_sent=True),
        message(102.499, "200 OK", is_sent=True),
        message(102.502, "ACK", is_sent=False),
    ]
    assert draw_ladder(caller, carrier).split("\n") == [
        "caller                         switch                         carrier",
        "| INVITE --------------------> |                              |    0.000 s",
        "|                              | INVITE --------------------> |    0.002 s",
        "|                              | <--------------- 180 Ringing |    0.003 s",
        "| <--------------- 180 Ringing |                              |    0.004 s",
        "|                              | <-------------------- 200 OK |    2.499 s",
        "| <-------------------- 200 OK |                              |    2.500 s",
        "| ACK -----------------------> |                              |    2.501 s",
        "|                              | ACK -----------------------> |    2.502 s",
    ]


def test_long_titles_are_cut_so_that_the_lanes_stay_straight() -> None:
    title = "480 Temporarily Unavailable And Then Some"
    lines = draw_ladder([message(0.0, title, is_sent=True)], [message(1.0, title, is_sent=True)]).split("\n")
    assert lines[1:] == [
        "| 480 Temporarily Unavai ----> |                              |    0.000 s",
        "|                              | <---- 480 Temporarily Unavai |    1.000 s",
    ]


def test_ladder_has_only_its_head_when_nothing_was_said() -> None:
    assert draw_ladder([], []) == "caller                         switch                         carrier"
