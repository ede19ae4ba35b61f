"""Calls whose sound goes through the engine of a running switch, and what becomes of them when that dies."""

import os
import signal
from collections.abc import Iterator

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from tests.b2bua.call.anchoring import place
from tests.media.rig import End
from tests.support.calls import agents, dial, received, until, within
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
                await within(carrier.is_answered)
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
