"""Calls whose sound goes through the engine of a running switch, and what becomes of them when that dies."""

import os
import signal
from base64 import b64encode
from collections.abc import Iterator

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.sip.message import Request
from tests.b2bua.call.anchoring import place
from tests.media.rig import End
from tests.media.secure import SecureEnd, keys_of
from tests.media.test_dtmf import event
from tests.support.calls import agents, are_up, dial, received, until, within
from tests.support.servers import Run
from tests.support.switch import Switch, wait_until


class Speaking:
    """What both have: a place for their sound, which their description names."""

    end: End

    @property
    def session(self) -> bytes:
        """Where they hear."""
        return self.end.sdp()


class SpeakingCaller(Speaking, Caller):
    """A caller that hears."""


class SpeakingAnswerer(Speaking, Answerer):
    """A carrier that hears."""


@pytest.fixture
def media_switch(switch: Switch) -> Iterator[Switch]:
    """The switch, calls of the demo's customer having to go through its engine."""
    switch.command("account", "set", "DEMO0002", "--with-media")
    switch.wait_for_configuration()
    yield switch
    switch.command("account", "set", "DEMO0002", "--without-media")
    switch.wait_for_configuration()


def samples(switch: Switch) -> dict[str, float]:
    return {name: value for name, _, value in switch.ask("metrics")["samples"] if "anchored" in name or "media" in name}


def test_sound_passes_and_goes_on_when_the_engine_is_killed(media_switch: Switch, run: Run) -> None:
    switch = media_switch
    caller, carrier = SpeakingCaller(), SpeakingAnswerer("127.0.0.1", switch.carrier_ports[0])

    async def call() -> None:
        with End() as caller.end, End() as carrier.end:
            async with agents(caller, carrier):
                dial(caller, switch)
                await are_up(caller, carrier)
                carrier.end.learn(carrier.invites[0].body)
                (answer,) = [message.body for message in received(caller) if message.body]
                caller.end.learn(answer)
                ports = {place(answer)[1], place(carrier.invites[0].body)[1]}
                assert not ports & {caller.end.port, carrier.end.port}
                await talk()
                assert samples(switch) == {"softswitch_calls_anchored": 1, "softswitch_media_engine_up": 1}
                killed = switch.child("media")
                os.kill(killed, signal.SIGKILL)
                await until(lambda: switch.child("media") not in (0, killed))
                await until(goes_on)
                caller.hang_up()
                await within(carrier.is_ended)

    async def talk() -> None:
        for one, other in ((caller.end, carrier.end), (carrier.end, caller.end)):
            one.send(4)
            await other.gets(4)

    def goes_on() -> bool:
        caller.end.send()
        carrier.end.send()
        return bool(caller.end.received()) and bool(carrier.end.received())

    run(call())
    switch.wait_for_records(1)
    (record,) = switch.query("SELECT code, media_mode FROM cdr")
    assert tuple(record) == ("ANSWERED", "anchored")
    wait_until(lambda: samples(switch)["softswitch_calls_anchored"] == 0, "the engine's call to go")


@pytest.fixture
def asking_switch(switch: Switch) -> Iterator[Switch]:
    """The switch, whose first gateway wants SRTP and INFO, and whose traces of calls are all kept."""
    switch.command("gateway", "set", "demo-a", "--srtp", "required", "--dtmf", "info")
    switch.wait_for_configuration()
    yield switch
    switch.command("gateway", "set", "demo-a", "--srtp", "off", "--dtmf", "passed")
    switch.wait_for_configuration()


def test_gateway_is_spoken_to_in_srtp_and_told_digits_by_info(asking_switch: Switch, run: Run) -> None:
    switch = asking_switch
    caller, carrier = SpeakingCaller(), SpeakingAnswerer("127.0.0.1", switch.carrier_ports[0])
    keys: list[bytes] = []

    async def call() -> None:
        with End() as caller.end, SecureEnd() as secure:
            carrier.end = secure
            async with agents(caller, carrier):
                dial(caller, switch)
                await until(lambda: carrier.invites)
                secure.learn(carrier.invites[0].body)
                await are_up(caller, carrier)
                (answer,) = [message.body for message in received(caller) if message.body]
                assert b"crypto" not in answer
                caller.end.learn(answer)
                keys.extend(b64encode(key) for _, _, key in keys_of(carrier.invites[0].body + secure.sdp()))
                secure.say(4)
                await caller.end.gets(4)
                caller.end.send(4)
                assert len(await secure.hears(4)) == 4
                caller.end.rtp.sendto(event("6", 800, sequence=4, end=True), caller.end.target)
                await until(digits)
                assert digits() == [b"Signal=6\r\nDuration=100\r\n"]
                caller.hang_up()
                await within(carrier.is_ended)

    def digits() -> list[bytes]:
        return [each.body for each in received(carrier) if isinstance(each, Request) and each.method == "INFO"]

    run(call())
    switch.wait_for_records(1)
    (record,) = switch.query("SELECT code, media_mode FROM cdr")
    assert tuple(record) == ("ANSWERED", "anchored")
    assert len(keys) == 5
    kept = [path for path in switch.directory.rglob("*") if path.is_file() and "postgresql" not in path.parts]
    holding = {path.name for path in kept for key in keys if key in path.read_bytes()}
    assert holding <= {"media-1.sessions"}
