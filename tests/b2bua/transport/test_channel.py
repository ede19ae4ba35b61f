"""TLS as bytes in and bytes out: two channels hand each other what they have to say."""

import ssl
from pathlib import Path

import pytest

from b2bua.transport.channel import SecureChannel
from tests.support.certificates import Authority

NAME = "sip.carrier.example"


class Pair:
    """A client and a server."""

    def __init__(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(authority.issue(NAME))
        client = ssl.create_default_context(cafile=str(authority.file))
        self.client = SecureChannel(client, is_server=False, name=NAME)
        self.server = SecureChannel(server, is_server=True)
        self.client.begin()
        self.server.begin()

    def settle(self) -> tuple[bytes, bytes]:
        """Carry everything to and fro; returns what client and server have heard."""
        heard = {self.client: b"", self.server: b""}
        others = {self.client: self.server, self.server: self.client}
        while carried := [(others[each], data) for each in others if (data := each.take_outgoing())]:
            for channel, data in carried:
                heard[channel] += channel.receive(data)
        return heard[self.client], heard[self.server]


class TestChannel:
    def test_both_are_up_after_the_handshake_and_hear_each_other(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path)
        assert not pair.client.is_up
        assert pair.settle() == (b"", b"")
        assert pair.client.is_up
        assert pair.server.is_up
        pair.client.send(b"x" * 100_000)
        pair.server.send(b"hello")
        assert pair.settle() == (b"hello", b"x" * 100_000)
        assert pair.client.certificate["subjectAltName"] == (("DNS", NAME),)
        assert pair.server.certificate == {}

    def test_message_is_heard_when_it_comes_with_the_end_of_the_handshake(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path)
        pair.server.receive(pair.client.take_outgoing())
        assert pair.client.receive(pair.server.take_outgoing()) == b""
        assert pair.client.is_up
        pair.client.send(b"at once")
        assert pair.server.receive(pair.client.take_outgoing()) == b"at once"

    def test_last_word_is_heard(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path)
        pair.settle()
        pair.client.send(b"bye")
        pair.client.close()
        assert pair.settle() == (b"", b"bye")
        assert pair.server.is_over

    def test_peer_is_told_when_what_it_says_is_no_tls(self, tmp_path: Path) -> None:
        pair = Pair(tmp_path)
        with pytest.raises(ssl.SSLError):
            pair.server.receive(b"GET / HTTP/1.1\r\n\r\n")
        pair.server.close()

    def test_name_is_refused_when_it_cannot_be_one(self) -> None:
        with pytest.raises(ValueError, match="label"):
            SecureChannel(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), is_server=False, name=".example")
