"""Which User-Agents are scanners."""

import pytest

from b2bua.ban.scanners import is_scanner


@pytest.mark.parametrize(
    "user_agent",
    [
        "friendly-scanner",
        "Friendly-Scanner/0.2",
        "SIPVicious",
        "sundayddr",
        "sip-scan",
        "sipcli/v1.8",
        "VaxSIPUserAgent/3.5",
        "Mozilla VaxSIPUserAgent",
        "pplsip",
        "smap 0.6.0",
        "iWar",
    ],
)
def test_scanner_is_known_by_its_name(user_agent: str) -> None:
    assert is_scanner(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        "",
        "softswitch",
        "Asterisk PBX 20.5.2",
        "FPBX-16.0.40(18.20.0)",
        "Yealink SIP-T46S 66.86.0.15",
        "Grandstream GXP2170 1.0.11.3",
        "Linphone/5.2 (Esmap device)",
        "Zoiper v2.10.19",
        "sipsak 0.9.8",
        "SIPp",
        "baresip v3.1.0",
    ],
)
def test_others_are_not_taken_for_one(user_agent: str) -> None:
    assert not is_scanner(user_agent)
