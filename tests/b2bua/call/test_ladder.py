"""The messages of calls: which are kept, how many, how they are written and when."""

import math
from typing import Any

import pytest

from b2bua.call.ladder import LINGER, MESSAGE_LIMIT, WAITING_LIMIT, Ladders, call_id_of
from b2bua.sip.flow import Flow
from cdr.trace import TEXT_LIMIT, TracedMessage, read_messages
from conf.settings import TraceSettings

CALL = "0193a5b0-7c1e-7000-8000-3f1cffffffff"
LUCKY = "0193a5b0-7c1e-7000-8000-3f1c00000000"
CALLER, CARRIER = Flow("udp", "198.51.100.7", 5060), Flow("tcp", "203.0.113.1", 5062)


def message(
    title: str = "INVITE sip:1@h SIP/2.0", call_id: str = "Call-ID: a1", body: bytes = b"", extra: str = ""
) -> bytes:
    text = f"{title}\r\nVia: SIP/2.0/UDP h\r\n{call_id}\r\nCSeq: 1 INVITE\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return text.encode("utf-8", "surrogateescape") + body


class Journal:
    """Takes what is written."""

    def __init__(self, **settings: Any) -> None:
        self.lines: list[dict[str, Any]] = []
        self.has_room = True
        self.ladders = Ladders(TraceSettings(**settings), self._write)

    def _write(self, line: dict[str, Any]) -> bool:
        if self.has_room:
            self.lines.append(line)
        return self.has_room

    def begin(self, call_id: str = CALL, sip_call_id: str = "a1", now: float = 10.0, **how: Any) -> None:
        """A call comes."""
        self.ladders.begin(call_id, sip_call_id, 1_790_000_000.0, now + 0.001)
        self.tap(False, CALLER, message(**how) if how else message(call_id=f"Call-ID: {sip_call_id}"), now)

    def tap(self, is_sent: bool, flow: Flow, data: bytes, now: float) -> None:
        """A turn with one message."""
        self.ladders.take([(now, is_sent, flow, data)])

    def end(self, call_id: str = CALL, *, is_failed: bool = True, now: float = 20.0) -> None:
        """A call is over and all that waits is written."""
        self.ladders.end(call_id, is_failed, now)
        self.ladders.write_due(math.inf)

    def kept(self, name: str = CALL) -> list[TracedMessage]:
        """The messages of a call that is up."""
        found = self.ladders.find(name)
        assert found is not None
        return read_messages(found["messages"])

    def assert_nothing_is_left(self) -> None:
        ladders = self.ladders
        assert [len(ladders._by_call), len(ladders._by_key), len(ladders._ended)] == [0, 0, 0]


class TestMessages:
    def test_both_legs_are_told_apart_with_times_from_the_invite(self) -> None:
        journal = Journal()
        ladders = journal.ladders
        journal.begin()
        ladders.join(CALL, "b1")
        journal.tap(True, CARRIER, message(call_id="Call-ID: b1"), 10.5)
        journal.tap(False, CARRIER, message("SIP/2.0 503 No", call_id="i:b1"), 11.25)
        journal.tap(True, CALLER, message("SIP/2.0 503 No"), 11.25)
        journal.end()
        (line,) = journal.lines
        assert (line["kind"], line["call_id"], line["received_at"]) == ("trace", CALL, 1_790_000_000.0)
        assert [(each.seconds, each.leg, each.is_sent, each.peer, each.title) for each in journal_messages(line)] == [
            (0.0, "a", False, "udp:198.51.100.7:5060", "INVITE"),
            (0.5, "b", True, "tcp:203.0.113.1:5062", "INVITE"),
            (1.25, "b", False, "tcp:203.0.113.1:5062", "503 No"),
            (1.25, "a", True, "udp:198.51.100.7:5060", "503 No"),
        ]
        journal.assert_nothing_is_left()

    @pytest.mark.parametrize(
        "spelling", ["Call-ID: a1", "Call-ID:  a1 ", "Call-ID:a1", "CALL-ID : a1", "i: a1", "I:a1"]
    )
    def test_call_id_may_be_written_in_any_way(self, spelling: str) -> None:
        journal = Journal()
        journal.ladders.begin(CALL, "a1", 0.0, 10.0)
        journal.tap(False, CALLER, message(call_id=spelling), 10.0)
        journal.tap(False, CALLER, message("BYE x SIP/2.0", call_id=spelling), 11.0)
        journal.tap(True, CALLER, message("SIP/2.0 200 OK"), 12.0)
        assert [(each.leg, each.seconds) for each in journal.kept()] == [("a", 0.0), ("a", 1.0), ("a", 2.0)]
        journal.end()
        journal.assert_nothing_is_left()

    def test_called_side_may_put_blanks_around_its_call_id(self) -> None:
        journal = Journal()
        journal.begin()
        journal.ladders.join(CALL, "b1")
        journal.tap(False, CARRIER, message("SIP/2.0 180 R", call_id="Call-ID:  b1 "), 11.0)
        assert [(each.leg, each.title) for each in journal.kept()] == [("a", "INVITE"), ("b", "180 R")]

    def test_call_id_in_a_body_is_none(self) -> None:
        data = message(call_id="i: a1", body=b"\r\nCall-ID: b1\r\n")
        assert call_id_of(data, data.find(b"\r\n\r\n")) == b"a1"
        assert call_id_of(b"OPTIONS x SIP/2.0\r\n\r\nCall-ID: b1\r\n", 17) == b""
        assert call_id_of(b"\r\n", -1) == b""

    def test_stranger_is_not_kept(self) -> None:
        journal = Journal()
        journal.begin()
        journal.tap(False, CALLER, message(call_id="Call-ID: other"), 11.0)
        journal.tap(True, CALLER, message(call_id="Call-ID: other"), 11.0)
        assert len(journal.kept()) == 1

    def test_message_of_another_in_the_same_turn_is_not_kept(self) -> None:
        journal = Journal()
        journal.ladders.begin(CALL, "a1", 0.0, 10.0)
        others = [(9.0, False, CALLER, message(call_id=f"Call-ID: {each}")) for each in ("other", "a1", "a2")]
        journal.ladders.take(others)
        assert [each.title for each in journal.kept()] == ["INVITE"]

    def test_secrets_and_bodies_are_left_out(self) -> None:
        journal = Journal()
        journal.begin(extra="Authorization: Basic abc\r\n", body=b"v=0\r\n")
        (told,) = journal.kept()
        assert "Authorization: Basic ***\n" in told.text
        assert "v=0" not in told.text
        assert "Content-Length: 5" in told.text
        assert "\r" not in told.text

    def test_bodies_are_there_when_they_are_wanted(self) -> None:
        journal = Journal(bodies=True)
        journal.begin(body=b"v=0\r\na=ice-pwd:abc\r\n")
        assert journal.kept()[0].text.endswith("\n\nv=0\na=ice-pwd:***\n")

    def test_text_is_such_as_the_database_takes(self) -> None:
        journal = Journal(bodies=True)
        journal.begin(extra="Subject: \udcff\x01\x7f\u00e9\r\n", body=b"\0\xff")
        assert "Subject: \ufffd\ufffd\ufffd\u00e9\n" in journal.kept()[0].text
        assert journal.kept()[0].text.endswith("\n\n\ufffd\ufffd")

    def test_call_that_comes_back_to_us_has_the_messages_of_both_sides(self) -> None:
        journal = Journal()
        journal.begin()
        journal.ladders.join(CALL, "b1")
        journal.tap(True, CALLER, message(call_id="Call-ID: b1"), 11.0)
        journal.tap(False, CALLER, message(call_id="Call-ID: b1"), 11.1)
        journal.ladders.begin(LUCKY, "b1", 0.0, 11.1)
        journal.tap(True, CALLER, message("SIP/2.0 180 R", call_id="Call-ID: b1"), 11.2)
        assert [each.leg for each in journal.kept(CALL)] == ["a", "b", "b", "b"]
        assert [(each.leg, each.title) for each in journal.kept(LUCKY)] == [("a", "180 R")]
        assert journal.ladders.find("b1") == journal.ladders.find(LUCKY)
        journal.end(CALL)
        assert len(journal.kept("b1")) == 1
        journal.end(LUCKY)
        journal.assert_nothing_is_left()

    def test_third_call_of_a_call_id_shares_it_with_the_second(self) -> None:
        journal = Journal()
        calls = [CALL, LUCKY, f"{CALL[:-1]}0"]
        for call_id in calls:
            journal.ladders.begin(call_id, "a1", 0.0, 10.0)
        journal.tap(True, CALLER, message("SIP/2.0 200 OK"), 12.0)
        assert [len(journal.kept(call_id)) for call_id in calls] == [0, 1, 1]
        for call_id in calls:
            journal.end(call_id)
        journal.ladders.drop(CALL)
        journal.assert_nothing_is_left()

    def test_call_id_that_is_used_again_leads_to_the_newer_call(self) -> None:
        journal = Journal()
        journal.begin()
        journal.ladders.end(CALL, True, 11.0)
        journal.begin(LUCKY, now=11.5)
        journal.tap(True, CALLER, message("SIP/2.0 200 OK"), 12.0)
        assert len(journal.kept(CALL)) == 1
        assert [each.title for each in journal.kept(LUCKY)] == ["INVITE", "200 OK"]
        journal.ladders.write_due(math.inf)
        assert len(journal.kept("a1")) == 2
        journal.end(LUCKY)
        journal.assert_nothing_is_left()


def journal_messages(line: dict[str, Any]) -> list[TracedMessage]:
    return read_messages(line["messages"])


class TestBounds:
    def test_first_and_last_messages_are_kept(self) -> None:
        journal = Journal(messages=6)
        journal.begin()
        for number in range(1, 10):
            journal.tap(True, CALLER, message(f"SIP/2.0 {100 + number} X"), 10.0 + number)
        titles = [(each.title, each.seconds) for each in journal.kept()]
        assert titles == [
            ("INVITE", 0.0),
            ("101 X", 1.0),
            ("102 X", 2.0),
            ("4 messages left out", 2.0),
            ("107 X", 7.0),
            ("108 X", 8.0),
            ("109 X", 9.0),
        ]

    def test_bytes_of_a_call_are_bounded(self) -> None:
        journal = Journal(bodies=True)
        journal.begin()
        for number in range(20):
            journal.tap(True, CALLER, message(f"SIP/2.0 {200 + number} X", body=b"x" * 7000), 11.0)
        told = journal.kept()
        assert sum(len(each.text) for each in told) <= TEXT_LIMIT
        assert told[0].title == "INVITE"
        assert told[-1].title == "219 X"
        assert sum("left out" in each.title for each in told) == 1

    def test_last_message_is_kept_when_the_first_ones_take_all_the_room(self) -> None:
        journal = Journal(bodies=True)
        journal.begin(body=b"x" * 2800)
        for number in range(60):
            body = b"x" * (2800 if number < 19 else 150 if number < 55 else 7900)
            journal.tap(True, CALLER, message(f"SIP/2.0 {200 + number} X", body=body), 11.0)
        told = journal.kept()
        assert (told[0].title, told[-1].title) == ("INVITE", "259 X")
        assert told[-2].title.endswith("messages left out")
        assert sum(len(each.text) for each in told) <= TEXT_LIMIT

    def test_text_that_grows_is_bounded_too(self) -> None:
        journal = Journal(bodies=True)
        journal.begin()
        for _ in range(12):
            journal.tap(True, CALLER, message("SIP/2.0 200 OK", body=b"\xff" * 7900), 11.0)
        told = journal.kept()
        assert sum(len(each.text.encode()) for each in told) <= TEXT_LIMIT + 100
        assert told[0].title == "INVITE"
        assert "left out" in "".join(each.title for each in told)

    def test_long_body_is_cut_between_two_lines(self) -> None:
        journal = Journal(bodies=True)
        journal.begin(body=b"v=0\r\n" + b"x" * 9000)
        assert journal.kept()[0].text.endswith("\n\nv=0\n(the rest is left out)")

    def test_long_message_is_cut_between_two_lines(self) -> None:
        journal = Journal()
        journal.begin(extra="X-Long: " + "x" * 4000 + "\r\nAuthorization: Basic " + "y" * 9000 + "\r\n")
        (told,) = journal.kept()
        assert len(told.text) < MESSAGE_LIMIT
        assert told.text.endswith("x\n(the rest is left out)")

    def test_message_without_an_end_is_kept_as_far_as_it_goes(self) -> None:
        journal = Journal()
        journal.begin()
        journal.tap(False, CALLER, message()[:-2] + b"X: " + b"x" * 9000, 11.0)
        assert journal.kept()[1].text.endswith("Content-Length: 0\n(the rest is left out)")

    def test_message_of_one_long_line_is_left_out(self) -> None:
        journal = Journal()
        journal.begin()
        journal.tap(False, CALLER, b"BYE " + b"x" * 9000 + message()[4:], 11.0)
        assert journal.kept()[1].text == "\n(the rest is left out)"

    def test_nothing_is_kept_when_it_is_switched_off(self) -> None:
        journal = Journal(messages=0)
        assert not journal.ladders.is_on
        journal.begin()
        assert journal.ladders.find(CALL) is None
        journal.ladders.join(CALL, "b1")
        journal.end()
        assert not journal.lines
        journal.assert_nothing_is_left()

    def test_ladder_has_two_messages_at_least(self) -> None:
        journal = Journal(messages=1)
        journal.begin()
        for _ in range(3):
            journal.tap(True, CALLER, message("SIP/2.0 200 OK"), 11.0)
        assert [each.title for each in journal.kept()] == ["INVITE", "2 messages left out", "200 OK"]


class TestEnd:
    def test_last_messages_are_taken_before_it_is_written(self) -> None:
        journal = Journal()
        journal.begin()
        journal.ladders.end(CALL, True, 20.0)
        journal.ladders.end(CALL, True, 20.5)
        journal.tap(False, CALLER, message("ACK x SIP/2.0"), 20.5)
        journal.ladders.write_due(20.0 + LINGER - 0.01)
        assert not journal.lines
        journal.ladders.write_due(20.0 + LINGER)
        assert [each.title for each in journal_messages(journal.lines[0])] == ["INVITE", "ACK"]
        assert (journal.ladders.written, journal.ladders.dropped) == (1, 0)
        journal.ladders.write_due(math.inf)
        assert len(journal.lines) == 1
        journal.assert_nothing_is_left()

    @pytest.mark.parametrize(
        ("call_id", "share", "is_written"),
        [(LUCKY, 0.01, True), (CALL, 0.01, False), (CALL, 1.0, True), (LUCKY, 0.0, False)],
    )
    def test_share_of_answered_calls_is_written(self, call_id: str, share: float, is_written: bool) -> None:
        journal = Journal(share=share)
        journal.begin(call_id)
        journal.end(call_id, is_failed=False)
        assert bool(journal.lines) is is_written
        journal.assert_nothing_is_left()

    def test_call_without_a_record_of_its_own_is_not_written(self) -> None:
        journal = Journal()
        journal.begin()
        journal.ladders.drop(CALL)
        journal.end()
        assert not journal.lines
        journal.assert_nothing_is_left()

    def test_few_are_written_at_a_time(self) -> None:
        journal = Journal()
        for number in range(5):
            call_id = f"{CALL[:-1]}{number}"
            journal.begin(call_id, f"a{number}")
            journal.ladders.end(call_id, True, 20.0)
        assert [journal.ladders.write_due(math.inf, 2) for _ in range(4)] == [2, 2, 1, 0]
        assert [line["call_id"][-1] for line in journal.lines] == list("01234")
        journal.assert_nothing_is_left()

    def test_oldest_are_given_up_when_too_many_wait(self) -> None:
        journal = Journal()
        for number in range(WAITING_LIMIT + 2):
            journal.ladders.begin(f"{CALL[:-4]}{number:04x}", f"a{number}", 0.0, 10.0)
            journal.ladders.end(f"{CALL[:-4]}{number:04x}", number != 0, 20.0)
        assert journal.ladders.dropped == 1
        journal.ladders.write_due(math.inf, WAITING_LIMIT)
        assert len(journal.lines) == WAITING_LIMIT
        journal.assert_nothing_is_left()

    def test_what_there_is_no_room_for_is_counted(self) -> None:
        journal = Journal()
        journal.has_room = False
        journal.begin()
        journal.end()
        assert (journal.ladders.written, journal.ladders.dropped) == (0, 1)
        journal.assert_nothing_is_left()


class Capture:
    """Takes copies."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, bool, Flow, bytes, str]] = []

    def send(self, at: float, is_sent: bool, flow: Flow, payload: bytes, correlation: str) -> None:
        self.taken.append((at, is_sent, flow, payload, correlation))


class TestExport:
    @pytest.mark.parametrize("messages", [0, 40])
    def test_every_message_goes_out_with_the_id_of_its_call(self, messages: int) -> None:
        journal, capture = Journal(messages=messages), Capture()
        ladders = journal.ladders
        ladders.export_to(capture)
        assert ladders.is_on
        journal.tap(False, CALLER, message("OPTIONS x SIP/2.0", call_id="Call-ID: none"), 9.0)
        journal.begin(body=b"a=ice-pwd:abc")
        ladders.join(CALL, "b1")
        journal.tap(True, CARRIER, message(call_id="Call-ID: b1", extra="Authorization: Basic abc\r\n"), 10.5)
        ladders.export(11.0, 1_790_000_011.0)
        ladders.export(12.0, 1_790_000_012.0)
        assert [(at, is_sent, flow, name) for at, is_sent, flow, _, name in capture.taken] == [
            (1_790_000_009.0, False, CALLER, ""),
            (1_790_000_010.0, False, CALLER, CALL),
            (1_790_000_010.5, True, CARRIER, CALL),
        ]
        assert capture.taken[1][3].endswith(b"\r\n\r\na=ice-pwd:***")
        assert b"Basic ***" in capture.taken[2][3]
        journal.end()
        journal.assert_nothing_is_left()

    def test_call_that_comes_back_to_us_has_the_id_of_the_first(self) -> None:
        journal, capture = Journal(), Capture()
        journal.ladders.export_to(capture)
        journal.begin()
        journal.ladders.begin(LUCKY, "a1", 0.0, 10.0)
        journal.ladders.export(10.0, 10.0)
        assert capture.taken[0][4] == CALL

    def test_nothing_goes_out_without_a_server(self) -> None:
        journal = Journal()
        journal.begin()
        journal.ladders.export(11.0, 11.0)
