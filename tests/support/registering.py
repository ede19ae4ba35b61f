"""A phone that registers, in a few lines."""

import socket
import uuid

from b2bua.sip.digest import Challenge
from tests.support.datagrams import header
from tests.support.switch import Switch

PATIENCE = 5.0


def register(switch: Switch, address: str, username: str, secret: str, *, port: int = 0, expires: int = 600) -> int:
    """Register a SIP user from an address, with the answer to the challenge; returns the last status."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((address, port))
        phone.settimeout(PATIENCE)
        own_port = phone.getsockname()[1]
        call_id, uri, status, proof = uuid.uuid4().hex, f"sip:127.0.0.1:{switch.port}", 0, ""
        for cseq in (1, 2):
            phone.sendto(
                (
                    f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address}:{own_port};branch=z9hG4bK{call_id}{cseq}\r\n"
                    f"Max-Forwards: 70\r\nFrom: <sip:{username}@127.0.0.1>;tag=1\r\nTo: <sip:{username}@127.0.0.1>\r\n"
                    f"Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{username}@{address}:{own_port}>\r\n"
                    f"Expires: {expires}\r\n{proof}Content-Length: 0\r\n\r\n"
                ).encode(),
                ("127.0.0.1", switch.port),
            )
            answer = phone.recv(65536).decode()
            status = int(answer[8:11])
            if status != 401:
                return status
            challenge = Challenge.parse(header(answer, "www-authenticate"))
            proof = f"Authorization: {challenge.answer(username, secret, 'REGISTER', uri, 'c0ffee')}\r\n"
        return status
