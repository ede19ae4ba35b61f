"""Framing of bare streams, on bytes alone (RFC 3261 §18.3, RFC 5626 §3.5.1); sockets are in test_pool.py."""

import pytest

from b2bua.sip.stream import StreamBroken
from b2bua.transport.tcp import StreamFraming
from tests.support import sip

OPTIONS = sip.request("OPTIONS", transport="TCP")


class TestStreamFraming:
    def test_message_is_its_own_frame(self) -> None:
        framing = StreamFraming()
        framing.begin()
        assert framing.is_ready
        assert framing.frame(OPTIONS) == OPTIONS
        assert framing.receive(OPTIONS[:20]) == []
        assert framing.receive(OPTIONS[20:]) == [OPTIONS]
        assert framing.take_outgoing() == b""

    def test_each_ping_gets_one_pong(self) -> None:
        framing = StreamFraming()
        assert framing.receive(b"\r\n\r\n" + OPTIONS + b"\r\n\r\n") == [OPTIONS]
        assert framing.take_outgoing() == b"\r\n\r\n"
        assert framing.take_outgoing() == b""

    def test_pong_to_our_ping_is_no_ping(self) -> None:
        framing = StreamFraming()
        assert [framing.ping(), framing.ping()] == [b"\r\n\r\n"] * 2
        assert framing.receive(b"\r\n\r\n" + OPTIONS) == [OPTIONS]
        assert framing.take_outgoing() == b""

    def test_stream_breaks_when_a_message_says_not_how_long_it_is(self) -> None:
        with pytest.raises(StreamBroken) as caught:
            StreamFraming().receive(OPTIONS + OPTIONS.replace(b"Content-Length: 0\r\n", b""))
        assert caught.value.messages == [OPTIONS]
