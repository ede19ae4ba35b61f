"""The messages of a call afterwards: on the command line, and at a capture server; without secrets."""

import json

from tests.support.interop import SECRET, Listeners, Play, Trunks
from tests.support.switch import Switch, wait_until


def test_messages_of_both_legs_are_shown_and_copied_without_secrets(
    switch: Switch, listeners: Listeners, trunks: Trunks, play: Play
) -> None:
    listeners.captured()
    trunk = trunks.add()
    trunks.prove(trunk)
    carrier = play("carrier_challenges", port=trunk.port)
    caller = play("caller", number=trunk.number)
    caller.wait()
    carrier.wait()
    (record,) = switch.wait_for_records(1)
    call_id = str(record["call_id"])
    wait_until(lambda: switch.query("SELECT FROM call_trace WHERE call_id = $1", call_id), "the messages to be written")

    drawn = switch.command("call", "trace", call_id)
    for words in ("INVITE", "407 Proxy Authentication", "180 Ringing", "200 OK", "ACK", "BYE"):
        assert words in drawn, drawn
    told = json.loads(switch.command("call", "trace", record["a_call_id"], "--json"))["messages"]
    assert len(told) == len(caller.messages()) + len(carrier.messages())
    proofs = [line for each in told for line in each["message"].splitlines() if line.startswith("Proxy-Authorization:")]
    assert len(proofs) == 3  # of the INVITE, its ACK, and the BYE
    sent = carrier.received("INVITE")[-1].first("proxy-authorization")
    answer = sent.partition('response="')[2].partition('"')[0]
    assert len(answer) == 32
    for text in (drawn, json.dumps(told), switch.log()):
        assert answer not in text
        assert SECRET not in text
    assert all("response=***" in line and 'username="trunk"' in line for line in proofs)

    copies = [each for each in listeners.captured() if each.get(17) == call_id.encode()]
    assert len(copies) == len(told)
    assert {each[15].split(b" ")[0] for each in copies} == {b"INVITE", b"ACK", b"BYE", b"SIP/2.0"}
    assert not [each for each in copies if answer.encode() in each[15]]


def test_messages_are_shown_while_the_call_is_up(switch: Switch, trunks: Trunks, play: Play) -> None:
    trunk = trunks.add()
    carrier = play("carrier", port=trunk.port)
    caller = play("caller", number=trunk.number, talk_ms=1500)
    (call,) = wait_until(
        lambda: [each for each in switch.ask("calls")["calls"] if each["state"] == "answered"], "the call to be up"
    )
    shown = switch.command("call", "trace", call["call_id"], "--text")
    caller.wait()
    carrier.wait()
    assert f"INVITE sip:{trunk.number}@127.0.0.1" in shown
    assert "m=audio 6000 RTP/AVP 8 0" in shown
