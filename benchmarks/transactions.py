"""An INVITE answered and a BYE sent, from first to last message: `python -m benchmarks.transactions`."""

from itertools import count

from b2bua.sip.events import RequestReceived
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timing
from b2bua.sip.transactions import TransactionLayer
from benchmarks.parse import INVITE
from benchmarks.timing import microseconds, report

FLOW = Flow("udp", "198.51.100.7", 5060)


def main() -> None:
    """Run the benchmark."""
    numbers = count()
    layer = TransactionLayer(Timing(), lambda: str(next(numbers)), lambda _: "192.0.2.1:5060")

    def answer_invite() -> None:
        layer.receive(INVITE.replace(b"776asdhds", b"%d" % next(numbers)), FLOW, 1.0)
        for event in layer.take_events():
            assert isinstance(event, RequestReceived)
            layer.send_response(event.transaction, Response.to(event.request, 180, "tag"), 1.0)
            layer.send_response(event.transaction, Response.to(event.request, 200, "tag"), 1.0)
        layer.take_outgoing()

    def send_bye() -> None:
        headers = Headers()
        headers["from"], headers["to"] = ["<sip:a@192.0.2.1>;tag=1"], ["<sip:b@198.51.100.7>;tag=2"]
        headers["call-id"], headers["cseq"] = [str(next(numbers))], ["2 BYE"]
        layer.send_request(Request("BYE", "sip:b@198.51.100.7", headers), FLOW, 1.0, None)
        ((_, sent, _),) = layer.take_outgoing()
        answer = sent.partition(b"\r\n")[2]
        layer.receive(b"SIP/2.0 200 OK\r\n" + answer, FLOW, 1.0)
        layer.take_events()

    report("answer an INVITE with 180 and 200", microseconds(answer_invite, 2000))
    report("send a BYE and receive its 200", microseconds(send_bye, 2000))


if __name__ == "__main__":
    main()
