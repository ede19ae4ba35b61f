"""Messages cut out of a byte stream."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.errors import ParseError
from b2bua.sip.message import SIZE_LIMIT, parse_message
from b2bua.sip.stream import StreamBroken, StreamParser, content_length
from tests.support.sip import mutations, request

FIRST = request("MESSAGE", transport="TCP", body=b"one\r\n\r\ntwo")
SECOND = request("OPTIONS", transport="TCP")


def cut(*pieces: bytes) -> list[bytes]:
    """What a fresh parser gives for these pieces."""
    parser = StreamParser()
    return [found for piece in pieces for found in parser.receive(piece)]


class TestFraming:
    """RFC 3261 §18.3."""

    def test_messages_are_cut_when_they_come_together(self) -> None:
        assert cut(FIRST + SECOND + FIRST) == [FIRST, SECOND, FIRST]

    def test_messages_are_whole_when_they_come_byte_by_byte(self) -> None:
        stream = FIRST + b"\r\n\r\n" + SECOND
        assert cut(*(stream[i : i + 1] for i in range(len(stream)))) == [FIRST, b"", SECOND]

    def test_messages_are_the_same_wherever_the_stream_is_split(self) -> None:
        stream = b"\r\n" + FIRST + b"\r\n\r\n" + b"\r\n" + SECOND + b"\r\n\r\n\r\n\r\n" + FIRST
        expected = [FIRST, b"", SECOND, b"", b"", FIRST]
        for at in range(len(stream) + 1):
            assert cut(stream[:at], stream[at:]) == expected

    @given(st.lists(st.sampled_from([FIRST, SECOND, b"\r\n\r\n"]), max_size=5), st.data())
    def test_messages_are_the_same_in_whatever_pieces_they_come(self, sent: list[bytes], data: st.DataObject) -> None:
        stream = b"".join(sent)
        places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
        pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
        assert cut(*pieces) == [b"" if part == b"\r\n\r\n" else part for part in sent]

    def test_message_waits_when_its_body_is_not_there_yet(self) -> None:
        parser = StreamParser()
        assert parser.receive(FIRST[:-1]) == []
        assert parser.receive(FIRST[-1:]) == [FIRST]

    def test_length_may_be_compact_and_have_blanks(self) -> None:
        assert content_length(b"BYE sip:a SIP/2.0\r\nl  :  7 ") == 7
        assert content_length(b"BYE sip:a SIP/2.0\r\nCONTENT-LENGTH:0") == 0

    def test_length_may_be_folded(self) -> None:
        assert content_length(b"BYE sip:a SIP/2.0\r\nl:\r\n\t 7\r\nX: y\r\n z") == 7

    def test_cut_message_can_be_parsed(self) -> None:
        (found,) = cut(FIRST)
        assert parse_message(found, framed=True).body == b"one\r\n\r\ntwo"

    @pytest.mark.parametrize(
        "lines",
        [
            b"",
            b"\r\nContent-Length: x",
            b"\r\nContent-Length: -1",
            b"\r\nContent-Length:",
            b"\r\nContent-Length: 00000001",
            b"\r\nX: y\r\n Content-Length: 1",
            b"\r\nContent-Length: 1\r\n 2",
            b"\r\nContent-Length: 1\r\nl: 2",
        ],
    )
    def test_stream_is_given_up_when_the_length_is_missing_malformed_or_ambiguous(self, lines: bytes) -> None:
        with pytest.raises(ParseError):
            cut(b"BYE sip:a SIP/2.0" + lines + b"\r\n\r\n")


class TestKeepAlive:
    """RFC 5626 §3.5.1, RFC 3261 §7.5."""

    def test_ping_is_an_empty_message(self) -> None:
        assert cut(b"\r\n\r\n") == [b""]
        assert cut(b"\r\n", b"\r\n") == [b""]

    def test_single_crlf_is_passed_over_when_before_a_message(self) -> None:
        assert cut(b"\r\n" + FIRST) == [FIRST]
        assert cut(b"\r\n") == []

    def test_pings_are_counted_when_several_come(self) -> None:
        assert cut(b"\r\n\r\n" * 3 + FIRST) == [b"", b"", b"", FIRST]


class TestPong:
    """RFC 5626 §3.5.1: to a ping of ours each CRLF is an answer."""

    def test_two_pongs_are_no_ping_when_two_are_due(self) -> None:
        parser = StreamParser()
        parser.pongs_due = 2
        assert parser.receive(b"\r\n\r\n") == []
        assert parser.pongs_due == 0
        assert parser.receive(b"\r\n\r\n") == [b""]

    def test_pong_is_taken_at_once_when_one_is_due(self) -> None:
        parser = StreamParser()
        parser.pongs_due = 1
        assert parser.receive(b"\r\n") == []
        assert parser.pongs_due == 0
        assert parser.receive(FIRST) == [FIRST]

    def test_pong_and_ping_are_told_apart_when_they_come_together(self) -> None:
        parser = StreamParser()
        parser.pongs_due = 1
        assert parser.receive(b"\r\n" + b"\r\n\r\n" + FIRST) == [b"", FIRST]

    def test_pong_waits_when_it_comes_behind_a_message_that_is_not_whole(self) -> None:
        parser = StreamParser()
        parser.pongs_due = 1
        assert parser.receive(FIRST[:20]) == []
        assert parser.receive(FIRST[20:] + b"\r\n") == [FIRST]
        assert parser.pongs_due == 0

    @pytest.mark.parametrize("rest", [b"\rX", b"X"])
    def test_crlf_is_passed_over_when_it_is_no_ping(self, rest: bytes) -> None:
        assert cut(b"\r\n" + rest + FIRST) == [rest + FIRST]


class TestBroken:
    """RFC 3261 §18.3: what is whole is not lost with what is not."""

    BAD = request("MESSAGE", transport="TCP", changed={"Content-Length": None})

    def test_messages_before_the_bad_one_are_kept_when_they_came_in_one_read(self) -> None:
        with pytest.raises(StreamBroken) as caught:
            cut(FIRST + b"\r\n\r\n" + SECOND + self.BAD + FIRST)
        assert caught.value.messages == [FIRST, b"", SECOND]
        assert caught.value.head.startswith(self.BAD)
        assert caught.value.status_hint == 400

    def test_beginning_is_bounded_when_it_does_not_end(self) -> None:
        with pytest.raises(StreamBroken) as caught:
            cut(b"x" * SIZE_LIMIT * 3)
        assert (caught.value.messages, len(caught.value.head)) == ([], SIZE_LIMIT)


class TestLimits:
    """A peer cannot fill the memory."""

    def test_stream_is_given_up_when_a_head_does_not_end(self) -> None:
        parser = StreamParser()
        assert parser.receive(b"x" * SIZE_LIMIT) == []
        with pytest.raises(ParseError) as caught:
            parser.receive(b"x")
        assert caught.value.status_hint == 513

    def test_stream_is_given_up_when_a_body_is_announced_too_long(self) -> None:
        with pytest.raises(ParseError) as caught:
            cut(request("MESSAGE", changed={"Content-Length": str(SIZE_LIMIT)}))
        assert caught.value.status_hint == 513

    def test_message_is_cut_when_as_long_as_allowed(self) -> None:
        head = len(request("MESSAGE", changed={"Content-Length": "65000"}))
        whole = request("MESSAGE", changed={"Content-Length": "65000"}, body=b"x" * 65000)
        length = 65000 - (len(whole) - SIZE_LIMIT)
        data = request("MESSAGE", body=b"x" * length)
        assert len(data) == head + length == SIZE_LIMIT
        assert cut(data) == [data]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40) | mutations(FIRST) | st.sampled_from([b"\r\n", b"\r", b"\n"]), max_size=6))
def test_stream_raises_only_parse_errors_when_given_any_bytes(pieces: list[bytes]) -> None:
    with contextlib.suppress(ParseError):
        cut(*pieces)
