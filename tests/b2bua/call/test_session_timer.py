"""Session timers: what is agreed on, and what happens when nobody refreshes (RFC 4028)."""

import pytest

from b2bua.call.leg import Leg
from b2bua.call.session_timer import (
    LEAST,
    SessionTimer,
    Terms,
    TooShort,
    allows,
    answer_headers,
    read_interval,
    read_least,
    request_headers,
    supports,
    terms_as_uac,
    terms_as_uas,
)
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from tests.support.legs import Wire, WiredCaller, on_loop


def invite(**headers: str) -> Request:
    """An INVITE with nothing but these headers; underscores stand for dashes."""
    return Request("INVITE", "sip:1@x", Headers({name.replace("_", "-"): [value] for name, value in headers.items()}))


def ok(**headers: str) -> Response:
    return Response(200, "OK", invite(**headers).headers)


class TestReading:
    @pytest.mark.parametrize(
        ("text", "read"),
        [
            ("1800", (1800, "")),
            ("1800;refresher=uac", (1800, "uac")),
            ("90 ; Refresher = UAS ;x=y", (90, "uas")),
            ("90;refresher=nobody", (90, "")),
            ("", (0, "")),
        ],
    )
    def test_interval_and_refresher_are_read(self, text: str, read: tuple[int, str]) -> None:
        assert read_interval(invite(session_expires=text)) == read

    @pytest.mark.parametrize("text", ["soon", "-1", "1.5", "9999999999", "½"])
    def test_interval_that_is_no_number_is_an_error(self, text: str) -> None:
        with pytest.raises(ParseError):
            read_interval(invite(session_expires=text))

    def test_least_is_ninety_unless_more_is_asked_for(self) -> None:
        assert [read_least(invite(min_se=text)) for text in ("", "30", "120", "120;x", "soon")] == [
            90,
            90,
            120,
            120,
            90,
        ]

    def test_tags_are_found_in_lists_and_whatever_their_case(self) -> None:
        assert supports(invite(supported="path, Timer"))
        assert supports(invite(require="timer"))
        assert not supports(invite(supported="timers"))
        assert allows(invite(allow="INVITE, UPDATE"), "UPDATE")
        assert not allows(invite(), "UPDATE")


class TestAsServer:
    """RFC 4028 §9."""

    @pytest.mark.parametrize(
        ("headers", "wanted", "terms"),
        [
            ({"session_expires": "600", "supported": "timer"}, 1800, Terms(600, is_ours=False)),
            ({"session_expires": "600;refresher=uas", "supported": "timer"}, 1800, Terms(600, is_ours=True)),
            ({"session_expires": "600;refresher=uac"}, 1800, Terms(600, is_ours=True)),
            ({"session_expires": "30"}, 1800, Terms(LEAST, is_ours=True)),
            ({"supported": "timer"}, 1800, Terms(1800, is_ours=False)),
            ({"supported": "timer", "min_se": "3600"}, 1800, Terms(3600, is_ours=False)),
            ({"allow": "UPDATE"}, 1800, Terms(1800, is_ours=True)),
            ({"allow": "INVITE"}, 1800, None),
            ({"supported": "timer"}, 0, None),
        ],
    )
    def test_terms_are_what_the_peer_can_and_asks_for(
        self, headers: dict[str, str], wanted: int, terms: Terms | None
    ) -> None:
        assert terms_as_uas(invite(**headers), wanted) == terms

    def test_interval_that_is_too_short_is_refused_when_the_peer_can_ask_again(self) -> None:
        with pytest.raises(TooShort):
            terms_as_uas(invite(session_expires="89", supported="timer"), 1800)

    def test_answer_names_the_refresher_as_the_peer_sees_it(self) -> None:
        assert answer_headers(Terms(600, is_ours=True), peer_knows=False) == {"session-expires": "600;refresher=uas"}
        assert answer_headers(Terms(600, is_ours=False), peer_knows=True) == {
            "session-expires": "600;refresher=uac",
            "require": "timer",
        }


class TestAsClient:
    """RFC 4028 §7."""

    def test_terms_are_what_the_answer_says(self) -> None:
        assert terms_as_uac(ok(session_expires="600;refresher=uas")) == Terms(600, is_ours=False)
        assert terms_as_uac(ok(session_expires="600;refresher=uac")) == Terms(600, is_ours=True)
        assert terms_as_uac(ok(session_expires="600")) == Terms(600, is_ours=True)
        assert terms_as_uac(ok()) is None
        assert terms_as_uac(ok(session_expires="soon")) is None

    def test_request_asks_for_the_interval_and_names_the_least(self) -> None:
        assert request_headers(1800) == {"supported": "timer", "session-expires": "1800", "min-se": "90"}
        assert request_headers(90, "uac")["session-expires"] == "90;refresher=uac"


class Told:
    """A leg's session timer on a wire, and who is told what, and when."""

    def __init__(self, terms: Terms) -> None:
        self.wire = Wire()
        self.caller = WiredCaller(self.wire, "192.0.2.1")
        self.heard: list[tuple[str, float]] = []
        self._began = self.wire.now
        flow = Flow("udp", "192.0.2.2", 5060)
        self.leg = Leg(self.caller.endpoint, flow, self.caller, "")
        self.timer = SessionTimer(self.leg, self, terms)

    def advance(self, seconds: float) -> None:
        self.wire.advance(seconds)

    def refresh(self, _: object) -> None:
        self.heard.append(("refresh", self._now))

    def session_expired(self, _: object) -> None:
        self.heard.append(("expired", self._now))

    @property
    def _now(self) -> float:
        return round(self.wire.now - self._began, 1)


class TestWaiting:
    """RFC 4028 §10."""

    @on_loop
    async def test_we_refresh_at_half_time_when_it_is_ours(self) -> None:
        told = Told(Terms(600, is_ours=True))
        told.advance(600)
        assert told.heard == [("refresh", 300.0)]

    @on_loop
    @pytest.mark.parametrize(("seconds", "end"), [(90, 60), (600, 568)])
    async def test_session_ends_before_its_time_when_the_peer_does_not_refresh(self, seconds: int, end: int) -> None:
        told = Told(Terms(seconds, is_ours=False))
        told.advance(seconds)
        assert told.heard == [("expired", float(end))]

    @on_loop
    async def test_it_begins_anew_when_it_was_refreshed(self) -> None:
        told = Told(Terms(600, is_ours=False))
        told.advance(500)
        told.timer.restart(Terms(600, is_ours=False))
        told.advance(567.9)
        assert told.heard == []
        told.advance(1)
        assert told.heard == [("expired", 1068.0)]

    @on_loop
    async def test_refused_refresh_is_tried_again_until_the_end(self) -> None:
        told = Told(Terms(90, is_ours=True))
        told.advance(45)
        told.advance(0.1)
        for _ in range(3):
            told.timer.retry()
            told.advance(5.1)
        assert [what for what, _ in told.heard] == ["refresh", "refresh", "refresh", "expired"]
        assert [round(when) for _, when in told.heard] == [45, 50, 55, 60]

    @on_loop
    async def test_nothing_is_heard_when_it_is_stopped(self) -> None:
        told = Told(Terms(90, is_ours=True))
        told.timer.stop()
        told.advance(200)
        assert told.heard == []
