"""Parsing a usual INVITE to a usable request, and writing an answer to it: `python -m benchmarks.parse`."""

from b2bua.sip.message import Request, Response, parse_message
from benchmarks.timing import microseconds, report

INVITE = (
    b"INVITE sip:442079460000@192.0.2.1:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK776asdhds;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Alice" <sip:441234567890@198.51.100.7>;tag=1928301774\r\n'
    b"To: <sip:442079460000@192.0.2.1>\r\n"
    b"Call-ID: a84b4c76e66710@198.51.100.7\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Contact: <sip:441234567890@198.51.100.7:5060>\r\n"
    b"User-Agent: Example PBX 1.0\r\n"
    b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 150\r\n\r\n"
    b"v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv     \r\n"
)


def main() -> None:
    """Run the benchmark."""
    request = parse_message(INVITE)
    assert isinstance(request, Request)
    report("parse a usual INVITE", microseconds(lambda: parse_message(INVITE)), 12)
    report("write a 180 to it", microseconds(lambda: Response.to(request, 180, "tag").to_bytes()))


if __name__ == "__main__":
    main()
