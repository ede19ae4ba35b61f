"""The forms of devices and dialing routes."""

import pytest
from pydantic import ValidationError

from b2bua.account.device import DialingRoute, IPDevice, SIPUser, ha1_md5
from b2bua.account.field import faults_of
from b2bua.account.payment import Payment

KEY = "7b2d9a52-95a3-4b7e-9a33-0a2c6f0f4c11"


def test_ip_device_is_a_network_with_what_is_usual() -> None:
    assert IPDevice.model_validate({"address": "192.0.2.0/24", "port": ""}).columns() == {
        **{"address": "192.0.2.0/24", "description": "", "dial_prefix": "", "port": 5060, "transport": "udp"},
        **{"is_trusted": False, "max_sessions": None, "cps": None, "status": "active"},
        **{"srtp": "offered", "dtmf": "passed"},
    }


def test_sip_user_with_voice_mail_needs_its_address() -> None:
    with pytest.raises(ValidationError) as caught:
        SIPUser.model_validate({"username": "anna", "voice_mail": "yes"})
    assert list(faults_of(caught.value)) == ["voice_mail_email"]


@pytest.mark.parametrize("pattern", ["%", "44%", "00|%", "44{12}|%", "{10}%", "112"])
def test_dialing_pattern_is_taken(pattern: str) -> None:
    assert DialingRoute.model_validate({"pattern": pattern, "route": "standard"}).pattern == pattern


@pytest.mark.parametrize("pattern", ["", "|", "{10}", "+44%", "4%4", "44{2}|{3}%"])
def test_pattern_that_names_no_number_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DialingRoute.model_validate({"pattern": pattern, "route": "standard"})
    assert list(faults_of(caught.value)) == ["pattern"]


def test_secret_is_kept_as_the_hash_of_the_standard() -> None:
    # RFC 2617 §3.5 has this user, realm and password.
    assert ha1_md5("Mufasa", "testrealm@host.com", "Circle Of Life") == "939e7578ed9e3c518a452acee763bce9"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ({"option": "add_balance"}, "paid_by"),
        ({"option": "add_balance", "paid_by": "card"}, "reference"),
        ({"option": "refund", "paid_by": "cash", "expires": "4h"}, "expires"),
        ({"option": "nonsense"}, "option"),
        ({"option": "add_credit", "amount": "0"}, "amount"),
        ({"option": "add_credit", "request_key": ""}, "request_key"),
    ],
)
def test_payment_that_says_too_little_is_refused(typed: dict[str, str], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Payment.model_validate({"amount": "5", "request_key": KEY, **typed})
    assert list(faults_of(caught.value)) == [name]
