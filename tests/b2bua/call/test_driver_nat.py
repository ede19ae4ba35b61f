"""Telephones that call themselves by an address of their own network: requests of ours go back the way theirs came."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.b2bua.call.rig import CALLER, DEVICE, SWITCH, Rig
from tests.support.legs import WiredAnswerer, on_loop
from tests.support.registrations import make_binding

MakeRig = Callable[..., Rig]

HIDDEN = "10.0.0.7"


def hide(rig: Rig, agent: WiredAnswerer | None = None) -> None:
    """The caller, or a callee, knows nothing of the address that it is reached at."""
    endpoint = (agent or rig.caller).endpoint
    endpoint._settings = replace(endpoint._settings, advertise=HIDDEN)


class TestCaller:
    @on_loop
    async def test_bye_goes_to_where_its_invite_came_from(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        hide(rig)
        carrier = rig.carrier()
        rig.dial()
        (invite,) = rig.wire.requests("INVITE", CALLER)
        assert HIDDEN in invite.headers.first("contact")
        rig.hang_up(carrier)
        assert rig.caller.is_ended.is_set()
        assert len(rig.wire.requests("BYE", SWITCH, CALLER)) == 1
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("name", ["pbx.example", CALLER])
    async def test_bye_goes_to_its_contact_when_its_via_shows_no_other_address(
        self, make_rig: MakeRig, name: str
    ) -> None:
        rig = make_rig()
        rig.caller.headers = {"contact": [f"<sip:{HIDDEN}>"]}
        rig.caller.endpoint._settings = replace(rig.caller.endpoint._settings, advertise=name)
        carrier = rig.carrier()
        rig.dial()
        rig.hang_up(carrier)
        assert len(rig.wire.requests("BYE", SWITCH, HIDDEN)) >= 1


class TestRegisteredTelephone:
    @on_loop
    async def test_ack_and_bye_go_to_where_it_registered_from(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        telephone = WiredAnswerer(rig.wire, DEVICE)
        hide(rig, telephone)
        contact = f"sip:alice@{HIDDEN}:5060"
        rig.register(make_binding(contact=contact, host=DEVICE, port=5060, source=DEVICE, is_behind_nat=True))
        rig.dial("101")
        assert rig.caller.is_answered.is_set()
        assert HIDDEN in rig.wire.responses(200, DEVICE)[0].headers.first("contact")
        assert len(rig.wire.requests("ACK", SWITCH, DEVICE)) == 1
        rig.hang_up(rig.caller)
        assert telephone.is_ended.is_set()
        rig.assert_nothing_is_left()
