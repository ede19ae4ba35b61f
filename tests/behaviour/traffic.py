"""sipp as caller, callee and telephone: scenarios made for a row, and what was said, read from sipp's own trace."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.sipp import Message, read_trace
from tests.support.switch import free_port

SECRET: Final = "secret"
"""Of every SIP user."""

NAMED_CODECS: Final = "m=audio 6000 RTP/AVP 8 0\na=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000"
STATIC_CODEC: Final = "m=audio 6000 RTP/AVP 0"
"""PCMU by its number alone."""

_STATUSES: Final = (
    *(400, 401, 402, 403, 404, 405, 407, 408, 410, 415, 420, 480, 481, 482, 483, 484, 486, 487, 488, 491),
    *(500, 501, 502, 503, 504, 600, 603, 604),
)
"""Final answers that a caller acknowledges; sipp has to be told each one."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller sends."""

    number: str = "442079460000"
    """User of the Request-URI, with parameters if need be."""
    caller: str = "33123456789"
    """User of From."""
    source: str = "127.0.0.1"
    """Address that it comes from."""
    offer: str = NAMED_CODECS
    """Media lines of the session description; empty: the INVITE has none."""
    hops: int = 70
    """Max-Forwards."""
    headers: tuple[str, ...] = ()
    """More of them; `{port}` is the switch's."""
    user: str = ""
    """SIP user who proves its secret when it is asked to; empty: nobody does."""


# Scenarios


_HEADERS = """Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:{caller}@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:{number}@[remote_ip]:[remote_port]>{to_tag}
Call-ID: [call_id]
CSeq: {cseq} {method}
Max-Forwards: {hops}
Contact: <sip:[local_ip]:[local_port]>
"""

_SESSION = """v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
{media}
"""


def _send(first_line: str, headers: str, media: str = "", *, repeats: bool = False, then: str = "") -> str:
    body = _SESSION.format(media=media) if media else ""
    kind = "Content-Type: application/sdp\n" if media else ""
    message = f"{first_line}\n{headers}{kind}Content-Length: [len]\n\n{body}"
    options = (' retrans="500"' if repeats else "") + (f' next="{then}"' if then else "")
    return f"<send{options}><![CDATA[\n{message}\n]]></send>"


def _scenario(*steps: str) -> str:
    return '<?xml version="1.0" encoding="ISO-8859-1"?>\n<scenario name="row">\n{}\n</scenario>\n'.format(
        "\n".join(steps)
    )


def _optional(statuses: tuple[int, ...], then: str = "") -> str:
    jump = f' next="{then}"' if then else ""
    return "\n".join(f'<recv response="{status}" optional="true"{jump}/>' for status in statuses)


def caller_scenario(call: Call, port: int) -> str:
    """A caller who hangs up after the time of `-d`, and takes whatever answer comes."""
    uri = f"sip:{call.number}@[remote_ip]:[remote_port]"
    extra = "".join(f"{header.format(port=port)}\n" for header in call.headers)

    def headers(method: str, cseq: int, to_tag: str = "") -> str:
        return _HEADERS.format(
            caller=call.caller, number=call.number, to_tag=to_tag, cseq=cseq, method=method, hops=call.hops
        )

    steps = []
    cseq = 1
    if call.user:
        steps = [
            _send(f"INVITE {uri} SIP/2.0", headers("INVITE", 1) + extra, call.offer, repeats=True),
            _optional((100,)),
            '<recv response="407" auth="true"/>',
            _send(f"ACK {uri} SIP/2.0", _acknowledgement(1)),
        ]
        extra += f"[authentication username={call.user} password={SECRET}]\n"
        cseq = 2
    return _scenario(
        *steps,
        _send(f"INVITE {uri} SIP/2.0", headers("INVITE", cseq) + extra, call.offer, repeats=True),
        _optional((100, 180, 183)),
        '<recv response="200" optional="true" rrs="true" next="1"/>',
        _optional(_STATUSES, then="2"),
        '<recv response="606"/>',
        '<label id="2"/>',
        _send(f"ACK {uri} SIP/2.0", _acknowledgement(cseq), then="3"),
        '<label id="1"/>',
        _send("ACK [next_url] SIP/2.0", headers("ACK", cseq, "[peer_tag_param]"), "" if call.offer else STATIC_CODEC),
        "<pause/>",
        _send("BYE [next_url] SIP/2.0", headers("BYE", cseq + 1, "[peer_tag_param]"), repeats=True),
        _optional((481,)),
        '<recv response="200"/>',
        '<label id="3"/>',
    )


def _acknowledgement(cseq: int) -> str:
    return f"[last_Via:]\n[last_From:]\n[last_To:]\nCall-ID: [call_id]\nCSeq: {cseq} ACK\nMax-Forwards: 70\n"


_ANSWER = "[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n"


def callee_scenario() -> str:
    """A callee who answers at once, with PCMU, and takes the caller's BYE."""
    contact = "Contact: <sip:[local_ip]:[local_port]>\n"
    return _scenario(
        '<recv request="INVITE"/>',
        _send("SIP/2.0 200 OK", _ANSWER.format(tag=";tag=[pid]S[call_number]") + contact, STATIC_CODEC, repeats=True),
        '<recv request="ACK"/>',
        '<recv request="BYE"/>',
        _send("SIP/2.0 200 OK", _ANSWER.format(tag="")),
    )


def registration_scenario(user: str) -> str:
    """A telephone that registers for an hour where it stands."""
    headers = """Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:{user}@[remote_ip]:[remote_port]>;tag=[pid]T[call_number]
To: <sip:{user}@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: {cseq} REGISTER
Max-Forwards: 70
Contact: <sip:{user}@[local_ip]:[local_port]>;expires=3600
"""
    line = "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0"
    proof = f"[authentication username={user} password={SECRET}]\n"
    return _scenario(
        _send(line, headers.format(user=user, cseq=1), repeats=True),
        '<recv response="401" auth="true"/>',
        _send(line, headers.format(user=user, cseq=2) + proof, repeats=True),
        '<recv response="200"/>',
    )


# Programs


class Program:
    """One sipp.

    Args:
        directory: For its scenario, its trace and its complaints.
        name: Of these files.
        scenario: What it plays.
        address: Where it stands.
        port: Likewise.
        options: More of sipp's.
    """

    def __init__(self, directory: Path, name: str, scenario: str, address: str, port: int, *options: str) -> None:
        self._trace = directory / f"{name}.trace"
        path = directory / f"{name}.xml"
        path.write_text(scenario)
        self._process = subprocess.Popen(
            ["sipp", *options, "-sf", str(path), "-i", address, "-p", str(port), "-nostdin", "-trace_msg",
             "-message_file", str(self._trace)],
            cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def messages(self) -> list[Message]:
        """All that it has sent and received."""
        return read_trace(self._trace)

    def wait(self, patience: float) -> int:
        """Wait for its end; whoever does not come to one is ended."""
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.stop()
            return -1

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def callee(directory: Path, name: str, address: str, port: int) -> Program:
    """Somebody who answers every call."""
    return Program(directory, name, callee_scenario(), address, port)


def caller(directory: Path, name: str, call: Call, port: int, calls: int, talk_ms: int) -> Program:
    """Somebody who calls the switch at a port so many times at once; the Call-IDs are `name-1`, `name-2`, …."""
    options: tuple[str, ...] = (f"127.0.0.1:{port}", "-m", str(calls), "-r", "50", "-l", str(calls), "-d", str(talk_ms))
    more = ("-cid_str", f"{name}-%u", "-timeout", "20s", "-recv_timeout", "10000")
    # By itself sipp proves its secret for another URI than the one that it calls.
    options += ("-auth_uri", f"{call.number}@127.0.0.1:{port}") if call.user else ()
    return Program(directory, name, caller_scenario(call, port), call.source, free_port(), *options, *more)


def register(directory: Path, user: str, address: str, port: int, switch_port: int) -> bool:
    """Register a telephone at the switch, from where it will be called; False: the switch did not take it."""
    options = (f"127.0.0.1:{switch_port}", "-m", "1", "-timeout", "5s", "-recv_timeout", "4000")
    with Program(directory, f"register-{user}", registration_scenario(user), address, port, *options) as program:
        return program.wait(10.0) == 0
