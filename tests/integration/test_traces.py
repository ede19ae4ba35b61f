"""The messages of calls through a whole switch: on disk, in the database, on the command line, at a capture server."""

import json
import socket

from b2bua.transport.endpoint import new_token
from tests.integration.test_records import INVITE
from tests.support.calls import SOURCE, exchange
from tests.support.hep import read
from tests.support.servers import Run
from tests.support.switch import Switch, running_switch, wait_until


def test_failed_call_has_its_messages_in_the_database(switch: Switch, run: Run) -> None:
    token = new_token()
    status = run(exchange(switch, INVITE.format(token=token, source=SOURCE))).status
    up = switch.ask("trace", name=token)["trace"]  # the worker still has it
    (record,) = switch.wait_for_records(1)
    call_id = record["call_id"]
    assert up["call_id"] == str(call_id)
    written = "SELECT FROM call_trace WHERE call_id = $1"
    wait_until(lambda: switch.query(written, call_id), "the messages to be written")
    assert "|<" in switch.command("call", "trace", token)
    told = json.loads(switch.command("call", "trace", str(call_id), "--json"))
    assert told["messages"][0]["message"].startswith("INVITE sip:999@127.0.0.1 SIP/2.0\n")
    assert f"SIP/2.0 {status}" in told["messages"][1]["message"]


def test_copies_reach_a_capture_server(run: Run) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5.0)
        url = f"udp://127.0.0.1:{server.getsockname()[1]}"
        with running_switch(SOFTSWITCH_HEP__URL=url, SOFTSWITCH_HEP__NODE="edge") as switch:
            token = new_token()
            run(exchange(switch, INVITE.format(token=token, source=SOURCE)))
            packets = [read(server.recv(65_536)) for _ in range(2)]
        assert [packet[15].split(b"\r\n")[0][:7] for packet in packets] == [b"INVITE ", b"SIP/2.0"]
        assert packets[0][17] == packets[1][17]
        assert {packet[19] for packet in packets} == {b"edge"}
        assert int.from_bytes(packets[0][8], "big") == int.from_bytes(packets[1][7], "big") == switch.port
