"""What a login sees of an explanation."""

from dataclasses import asdict
from decimal import Decimal

import pytest

import b2bua.policy.checks
from admin.explanation import TITLES, View, cut
from tests.admin.answers import answer, refusal

EVERYTHING = View(carriers=True, cost=True, money=True)
SUPPORT = View(carriers=True, cost=False, money=False)
RESELLER = View(carriers=False, cost=False, money=True, accounts=("CUST0101", "RESE0001"))


class TestAdministrator:
    def test_everything_is_shown_and_what_is_tried_comes_first(self) -> None:
        found = cut(answer(), EVERYTHING)
        assert [(each.carrier, each.order) for each in found.candidates] == [("CARR0001", "1"), ("CARR0002", "")]
        first, second = found.candidates
        assert (first.cost, first.price, first.margin) == (Decimal("0.0391"), Decimal("0.0712"), Decimal("0.0321"))
        assert second.dropped == "loss of account RESE0009"
        assert [each.account for each in found.levels] == ["CUST0101", "RESE0001", "RESE0009"]
        assert found.steps[1].looked_at == "CUST0101 < RESE0001 < RESE0009"
        assert found.attempts[0].to == "CARR0001-gateway of CARR0001"

    def test_refusal_names_who_refused(self) -> None:
        found = cut(refusal("SESSION_LIMIT", "account RESE0009"), EVERYTHING)
        assert found.decision["object"] == "account RESE0009"
        assert (found.steps[-1].code, found.steps[-1].outcome) == ("SESSION_LIMIT", "SESSION_LIMIT account RESE0009")


class TestSupport:
    def test_carriers_are_shown_and_no_amount(self) -> None:
        found = cut(answer(), SUPPORT)
        text = str(asdict(found))
        assert "CARR0001-gateway" in text
        for amount in ("0.0712", "0.0533", "0.0499", "0.0391", "0.0899", "0.0321"):
            assert amount not in text


class TestReseller:
    def test_nothing_of_carriers_costs_and_those_above_is_shown(self) -> None:
        text = str(asdict(cut(answer(), RESELLER)))
        for hidden in ("CARR", "gateway-", "99#", "0.0391", "0.0899", "0.0321", "0.0499", "RESE0009"):
            assert hidden not in text
        for shown in ("0.0712", "0.0533", "CUST0101 < RESE0001", "standard: 1 to try"):
            assert shown in text

    @pytest.mark.parametrize("refuser", ["account RESE0009", "carrier CARR0001", "gateway CARR0001-gateway"])
    def test_who_refused_is_not_named_when_it_is_above(self, refuser: str) -> None:
        found = cut(refusal("SESSION_LIMIT", refuser), RESELLER)
        assert found.decision["object"] == ""
        assert found.steps[-1].outcome == "SESSION_LIMIT"

    def test_own_account_that_refused_is_named(self) -> None:
        assert cut(refusal("SESSION_LIMIT", "account RESE0001"), RESELLER).decision["object"] == "account RESE0001"

    def test_own_devices_are_named(self) -> None:
        device = {"kind": "user", "gateway": "SIP user bob", "carrier": None, "source": "101", "destination": "102"}
        (attempt,) = cut(answer(attempts=[device], kind="on_net"), RESELLER).attempts
        assert (attempt.to, attempt.destination) == ("SIP user bob", "102")


def test_every_check_has_a_title() -> None:
    names = {name for name in vars(b2bua.policy.checks) if name.startswith(("check_", "set_unlimited"))}
    assert len(names) > 15
    assert {name.removeprefix("check_").removeprefix("set_") for name in names} <= set(TITLES)
