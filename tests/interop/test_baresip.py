"""baresip registers, calls and is called."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from media import ng
from tests.support.baresip import Baresip
from tests.support.interop import PHONES, SECRET, Listeners, Play, Telephone, Trunks, outcome
from tests.support.switch import Switch, wait_until

pytestmark = pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed")

Start = Callable[..., Baresip]


@pytest.fixture
def telephone(trunks: Trunks) -> Telephone:
    return trunks.telephone("2001")


@pytest.fixture
def start(switch: Switch, tmp_path: Path) -> Iterator[Start]:
    """Start telephones, which have registered when they are returned."""
    with ExitStack() as started:

        def begin(telephone: Telephone, **how: object) -> Baresip:
            place = str(how.pop("registrar", f"127.0.0.1:{switch.port}"))
            directory = tmp_path / telephone.name
            baresip = started.enter_context(Baresip(directory, telephone.name, SECRET, place, host=PHONES, **how))  # type: ignore[arg-type]
            baresip.wait_until_registered()
            return baresip

        yield begin


class TestUDP:
    def test_it_calls_and_hangs_up(
        self, switch: Switch, trunks: Trunks, telephone: Telephone, play: Play, start: Start
    ) -> None:
        trunk, baresip = trunks.add(), start(telephone)
        carrier = play("carrier", port=trunk.port)
        baresip.dial(trunk.number)
        baresip.wait_for("CALL_ESTABLISHED")
        baresip.hang_up()
        carrier.wait()
        (record,) = switch.wait_for_records(1)
        assert outcome(record) == ("ANSWERED", 200, "caller")
        assert (record["destination_sent"], record["codec_used"]) == (trunk.number, "PCMA")
        (row,) = switch.query("SELECT a_user_agent, device FROM cdr")
        assert row["a_user_agent"].startswith("baresip")
        assert row["device"] == f"user:{telephone.user_id}"

    def test_it_is_called_and_the_caller_hangs_up(
        self, switch: Switch, telephone: Telephone, play: Play, start: Start
    ) -> None:
        baresip = start(telephone)
        caller = play("caller", number=telephone.number, talk_ms=300)
        baresip.wait_for("CALL_ESTABLISHED")
        caller.wait()
        baresip.wait_for("CALL_CLOSED")
        (record,) = switch.wait_for_records(1)
        assert outcome(record) == ("ANSWERED", 200, "caller")

    def test_it_has_the_carrier_connected_with_another(
        self, switch: Switch, trunks: Trunks, telephone: Telephone, play: Play, start: Start
    ) -> None:
        first, second, baresip = trunks.add(), trunks.add(), start(telephone)
        transferred = play("carrier_is_transferred", port=first.port, talk_ms=200)
        target = play("carrier", port=second.port)
        baresip.dial(first.number)
        baresip.wait_for("CALL_ESTABLISHED")
        baresip.order("transfer", f"sip:{second.number}@{baresip.registrar}")
        transferred.wait()
        target.wait()
        baresip.wait_for("CALL_CLOSED")
        records = switch.wait_for_records(2)
        assert [record["destination_sent"] for record in records] == [first.number, second.number]
        assert [outcome(record)[:2] for record in records] == [("ANSWERED", 200)] * 2

    def test_two_of_them_call_each_other(
        self, switch: Switch, trunks: Trunks, telephone: Telephone, start: Start
    ) -> None:
        other = trunks.telephone("2002")
        first, second = start(telephone), start(other)
        first.dial("2002")
        first.wait_for("CALL_ESTABLISHED")
        second.wait_for("CALL_ESTABLISHED")
        wait_until(lambda: [each["state"] for each in switch.ask("calls")["calls"]] == ["answered"], "the call")
        first.order("hold")
        wait_until(lambda: "a=sendonly" in second.log(), "the other to be held")
        first.order("resume")
        wait_until(lambda: "a=sendrecv" in second.log().rpartition("a=sendonly")[2], "the other to be held no more")
        second.hang_up()
        first.wait_for("CALL_CLOSED")
        (record,) = switch.wait_for_records(1)
        assert outcome(record) == ("ANSWERED", 200, "callee")
        (row,) = switch.query("SELECT kind FROM cdr")
        assert row["kind"] == "on_net"


class TestTLS:
    def test_it_calls_and_is_called(
        self, switch: Switch, listeners: Listeners, trunks: Trunks, telephone: Telephone, play: Play, start: Start
    ) -> None:
        place = f"127.0.0.1:{listeners.tls}"
        trunk = trunks.add()
        baresip = start(telephone, registrar=place, transport="tls", authorities=listeners.authority.file)
        carrier = play("carrier_hangs_up", port=trunk.port, talk_ms=200)
        baresip.dial(trunk.number)
        carrier.wait()
        baresip.wait_for("CALL_CLOSED")
        play("caller", number=telephone.number, talk_ms=200).wait()
        baresip.wait_for("CALL_CLOSED")
        first, second = switch.wait_for_records(2)
        assert outcome(first) == ("ANSWERED", 200, "callee")
        assert outcome(second) == ("ANSWERED", 200, "caller")
        rows = switch.query("SELECT a_transport, b_transport FROM cdr ORDER BY received_at")
        assert [tuple(row) for row in rows] == [("tls", "udp"), ("udp", "tls")]


class TestSRTP:
    @pytest.mark.parametrize("dials", [0, 1])
    def test_it_speaks_with_one_that_does_not_encrypt(
        self, switch: Switch, trunks: Trunks, telephone: Telephone, start: Start, dials: int
    ) -> None:
        other = trunks.telephone("2002", srtp="required")
        both = start(telephone, hums=True), start(other, hums=True, encrypts=True)
        both[dials].dial(("2002", "2001")[dials])
        for each in both:
            each.wait_for("CALL_ESTABLISHED")

        def sides() -> list[Any]:
            (call,) = ask(switch, ng.list_calls(9))["calls"]
            return [side["medias"][0] for side in ask(switch, ng.query(call))["tags"].values()]

        wait_until(lambda: min(side["streams"][0]["stats"]["packets"] for side in sides()) > 10, "their sound")
        assert [side["protocol"] for side in sides()] == (["RTP/AVP", "RTP/SAVP"], ["RTP/SAVP", "RTP/AVP"])[dials]
        (dropped,) = [side["SRTP"]["dropped"] for side in sides() if "SRTP" in side]
        # A telephone may open its router with a packet that is none of RTP.
        assert (dropped["not authentic"], dropped["replayed"]) == (0, 0)
        both[0].hang_up()
        both[1].wait_for("CALL_CLOSED")
        (record,) = switch.wait_for_records(1)
        assert outcome(record)[:2] == ("ANSWERED", 200)


def ask(switch: Switch, message: ng.Message) -> Any:
    """Ask the engine of the switch."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5.0)
        asking.bind("")
        asking.sendto(ng.pack(b"c%d" % time.monotonic_ns(), message), str(switch.run_directory / "media-1.sock"))
        return ng.unpack(asking.recv(65_536))[1]
