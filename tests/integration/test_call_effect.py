"""Each field of the forms of a customer that touches calls: set in the panel, it changes the next real call."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Final

import pytest

from admin.forms.tab import TABS
from b2bua.account.customer import Customer
from tests.integration.effects import (
    ADDRESS,
    CARRIER_ADDRESS,
    DID,
    OTHER_ADDRESS,
    PHONE_ADDRESS,
    PRICE,
    Scene,
    opened,
)
from tests.support.calls import SOURCE
from tests.support.registering import register
from tests.support.switch import NUMBER, Switch

Case = Callable[[Scene], Awaitable[None]]
Stage = Callable[[Case], None]


@pytest.fixture(scope="module")
def _stage(_switch: Switch) -> Iterator[Stage]:
    """One customer and one worker for all cases."""
    with asyncio.Runner() as runner:
        scene_of = opened(_switch)
        scene = runner.run(scene_of.__aenter__())
        yield lambda case: runner.run(_play(scene, case))
        runner.run(scene_of.__aexit__(None, None, None))


async def _play(scene: Scene, case: Case) -> None:
    try:
        await case(scene)
    finally:
        await scene.put_back()


async def refused(scene: Scene, status: int, reason: str, **how: str) -> None:
    call = await scene.call(**how)  # type: ignore[arg-type]
    assert (call.status, call.reason) == (status, reason)


# The customer


async def customer_type(scene: Scene) -> None:
    code = await scene.add_customer("Trial", customer_type="demo")
    await scene.send(f"/customers/{code}/ip-devices", {"address": "127.0.0.76", "transport": "udp", "status": "active"})
    await scene.settled()
    await refused(scene, 402, "NO_FUNDS", address="127.0.0.76")
    await scene.pay(code, "add_balance", "5", status=422)  # it cannot pay in, and spends its test credit
    await scene.pay(code, "add_credit", "5")
    await scene.gets_through("127.0.0.76")


async def tariff(scene: Scene) -> None:
    assert (await scene.record(await scene.call()))["gross"] == Decimal(PRICE)
    await scene.customer(tariff="effect dear")
    assert (await scene.record(await scene.call()))["gross"] == Decimal("0.6")


async def billing_type_and_credit_limit(scene: Scene) -> None:
    code = await scene.add_customer("Poor")
    await scene.send(f"/customers/{code}/ip-devices", {"address": "127.0.0.75", "transport": "udp", "status": "active"})
    await scene.settled()
    await refused(scene, 402, "NO_FUNDS", address="127.0.0.75")
    one, scene.code = scene.code, code
    try:
        await scene.customer(billing_type="postpaid", credit_limit="0")
        await refused(scene, 402, "NO_FUNDS", address="127.0.0.75")
        await scene.customer(billing_type="postpaid", credit_limit="5")
        await scene.gets_through("127.0.0.75")
    finally:
        scene.code = one


async def decimals(scene: Scene) -> None:
    await scene.customer(decimals="1", rounding="CEIL")
    assert (await scene.record(await scene.call()))["gross"] == Decimal("0.1")
    await scene.customer(decimals="1", rounding="ROUND")
    assert (await scene.record(await scene.call()))["gross"] == 0


async def tax(scene: Scene) -> None:
    await scene.customer(tax_flag="VAT", tax_1="25")
    assert (await scene.record(await scene.call()))["gross"] == Decimal("0.05")
    await scene.customer(tax_flag="TAX", tax_1="10", tax_2="15", tax_inclusive="yes")
    assert (await scene.record(await scene.call()))["gross"] == Decimal(PRICE)


async def max_sessions(scene: Scene) -> None:
    await scene.customer(max_sessions="0")
    await refused(scene, 503, "SESSION_LIMIT")


async def cps(scene: Scene) -> None:
    await scene.customer(cps="0")
    await refused(scene, 503, "CPS_LIMIT")


async def codec_check(scene: Scene) -> None:
    await scene.customer(codec_check="yes", codecs="G729")
    await refused(scene, 488, "CODEC_NOT_ALLOWED")


async def codecs(scene: Scene) -> None:
    assert "RTP/AVP 8 0 101" in (await scene.call()).session
    await scene.customer(codec_check="yes", codecs="PCMU")
    session = (await scene.call()).session
    assert "PCMU" in session
    assert "PCMA" not in session


async def with_media(scene: Scene) -> None:
    call = await scene.call()
    assert "m=audio 40000 " in call.session
    await scene.customer(with_media="yes")
    call = await scene.call()
    assert call.status == 200
    assert "m=audio 40000 " not in call.session
    assert (await scene.record(call))["media_mode"] == "anchored"


async def loss_guard(scene: Scene) -> None:
    await scene.customer(tariff="effect cheap")
    assert (await scene.call()).status == 200
    await scene.customer(tariff="effect cheap", loss_guard="yes")
    await refused(scene, 503, "LOSS_ROUTE")


async def cli_by_destination(scene: Scene) -> None:
    await scene.rule("cli-rules", "44%=>49123")
    assert (await scene.call()).source == SOURCE
    await scene.customer(cli_by_destination="yes")
    assert (await scene.call()).source == "49123"


async def max_duration(scene: Scene) -> None:
    await scene.customer(max_duration="0:01")
    record = await scene.record(await scene.call(talks=True))
    assert (record["code"], record["reason"]) == ("ANSWERED", "MAX_DURATION")
    assert record["duration"] < 2


async def status(scene: Scene) -> None:
    await scene.status("suspended")
    await refused(scene, 403, "ACCOUNT_INACTIVE")
    await scene.status("active")
    assert (await scene.call()).status == 200


# IP devices


async def device_address(scene: Scene) -> None:
    assert (await scene.call(address=OTHER_ADDRESS)).status != 200
    await scene.device(address=OTHER_ADDRESS)
    assert (await scene.call(address=OTHER_ADDRESS)).status == 200
    assert (await scene.call(address=ADDRESS)).status != 200


async def device_dial_prefix(scene: Scene) -> None:
    await scene.device(dial_prefix="4420")
    assert (await scene.call()).status == 200
    await scene.device(dial_prefix="49")
    assert (await scene.call()).status != 200


async def device_max_sessions(scene: Scene) -> None:
    await scene.device(max_sessions="0")
    await refused(scene, 503, "SESSION_LIMIT")


async def device_cps(scene: Scene) -> None:
    await scene.device(cps="0")
    await refused(scene, 503, "CPS_LIMIT")


async def device_status(scene: Scene) -> None:
    await scene.device(status="inactive")
    await refused(scene, 403, "DEVICE_INACTIVE")


async def device_port_and_transport(scene: Scene) -> None:
    call = await scene.call(DID, address=CARRIER_ADDRESS)
    assert (call.status, call.by) == (200, "exchange")
    await scene.device(port=str(scene.agents["second exchange"].port))
    assert (await scene.call(DID, address=CARRIER_ADDRESS)).by == "second exchange"
    await scene.device(transport="tcp")
    assert (await scene.call(DID, address=CARRIER_ADDRESS)).by == ""  # nobody listens there


async def device_is_trusted(scene: Scene) -> None:
    async def shown() -> str:
        scene.headers = {"p-asserted-identity": ["<sip:4420555@example.net>"]}
        try:
            return (await scene.call()).source
        finally:
            scene.headers = {}

    assert await shown() == SOURCE
    await scene.device(is_trusted="yes")
    assert await shown() == "4420555"


# SIP users


async def as_user(scene: Scene, secret: str = "") -> tuple[int, str]:
    call = await scene.call(address=PHONE_ADDRESS, user="effect", secret=secret or scene.secret)
    return call.status, call.reason


async def user_login_and_secret(scene: Scene) -> None:
    assert (await as_user(scene))[0] == 200
    assert (await as_user(scene, "wrong"))[0] in {403, 407}
    path = f"/customers/{scene.code}/sip-users/{scene.user_id}/secret"
    _, text = await scene.send(path, {}, status=200)
    before, scene.secret = scene.secret, text.partition("Password")[2].split()[0]
    await scene.settled()
    assert (await as_user(scene, before))[0] in {403, 407}
    assert (await as_user(scene))[0] == 200


async def user_extension(scene: Scene) -> None:
    phone = scene.agents["phone"]
    port = phone.port
    phone.close()  # it registers from where it is called
    registered = await asyncio.to_thread(register, scene.switch, PHONE_ADDRESS, "effect", scene.secret, port=port)
    assert registered == 200
    scene.agents["phone"] = again = type(phone)(PHONE_ADDRESS, port)
    await again.open()
    call = await scene.call("7001")
    assert (call.status, call.by) == (200, "phone")
    await scene.user(extension="7002")
    assert (await scene.call("7001")).by != "phone"
    assert (await scene.call("7002")).by == "phone"


async def user_address(scene: Scene) -> None:
    await scene.user(address=PHONE_ADDRESS)
    assert (await as_user(scene))[0] == 200
    await scene.user(address=OTHER_ADDRESS)
    assert await as_user(scene) == (403, "ADDRESS_NOT_ALLOWED")


async def user_max_sessions(scene: Scene) -> None:
    await scene.user(max_sessions="0")
    assert await as_user(scene) == (503, "SESSION_LIMIT")


async def user_cps(scene: Scene) -> None:
    await scene.user(cps="0")
    assert await as_user(scene) == (503, "CPS_LIMIT")


async def user_status(scene: Scene) -> None:
    await scene.user(status="inactive")
    assert await as_user(scene) == (403, "DEVICE_INACTIVE")


# Routes and rules


async def dialing_pattern(scene: Scene) -> None:
    await scene.dialing("49%", "demo")
    await refused(scene, 404, "NO_DIALING_ROUTE")
    await scene.dialing("44%", "demo")
    assert (await scene.call()).status == 200


async def dialing_route(scene: Scene) -> None:
    assert (await scene.call()).by == "carrier"
    await scene.dialing("%", "effect other")
    assert (await scene.call()).by == "other carrier"


async def source_rules(scene: Scene) -> None:
    await scene.rule("source-rules", "44|%=>0044%")
    assert (await scene.call()).source == f"00{SOURCE}"
    await scene.rule("source-rules", f"{SOURCE}")
    assert (await scene.call()).reason.startswith("CLI_")


async def destination_rules(scene: Scene) -> None:
    await scene.rule("destination-rules", "77|%=>%")
    assert (await scene.call(f"77{NUMBER}")).number == NUMBER
    await scene.rule("destination-rules", "4420%")
    await refused(scene, 404, "NUMBER_BLOCKED")


async def did_source_rules(scene: Scene) -> None:
    await scene.rule("did-source-rules", "44|%=>0%")
    call = await scene.call(DID, address=CARRIER_ADDRESS)
    assert (call.by, call.source) == ("exchange", f"0{SOURCE[2:]}")


async def did_destination_rules(scene: Scene) -> None:
    await scene.rule("did-destination-rules", "49|%=>0%")
    call = await scene.call(DID, address=CARRIER_ADDRESS)
    assert (call.by, call.number) == ("exchange", f"0{DID[2:]}")


SEED: Final = {
    "Customer Type": customer_type,
    "Customer Tariff": tariff,
    "Billing Type": billing_type_and_credit_limit,
    "Max Credit Limit": billing_type_and_credit_limit,
    "Billing in Decimal": decimals,
    "VAT / Tax Flag": tax,
    "Maximum Call Session": max_sessions,
    "Call Session Per Second": cps,
    "Codec Checking": codec_check,
    "Codec List": codecs,
    "Call With Media": with_media,
    "Don't Allow Call With Loss Route": loss_guard,
    "Change CLI Base On DST Prefix": cli_by_destination,
    "Maximum Call Duration": max_duration,
    "Status of the customer": status,
    "IP device: IP Address": device_address,
    "IP device: Dial Prefix": device_dial_prefix,
    "IP device: Maximum Call Sessions": device_max_sessions,
    "IP device: Call Sessions Per Second": device_cps,
    "IP device: Status": device_status,
    "SIP user: SIP Device Login": user_login_and_secret,
    "SIP user: SIP Device Secret": user_login_and_secret,
    "SIP user: Extension No": user_extension,
    "SIP user: IP Address": user_address,
    "SIP user: Maximum Call Sessions": user_max_sessions,
    "SIP user: Call Session Per Second": user_cps,
    "SIP user: Status": user_status,
    "Dialing routes: Routes": dialing_route,
    "Dialing routes: Dialing Pattern": dialing_pattern,
    "Source Number Translation Rules": source_rules,
    "Destination Number Translation Rules": destination_rules,
    "DID Calls Source Number Translation Rules": did_source_rules,
    "DID Calls Destination Number Translation Rules": did_destination_rules,
}
"""What a customer is ordered to have, as far as calls are touched."""

FIELDS: Final = {
    "customer_type": customer_type,
    "tariff": tariff,
    "billing_type": billing_type_and_credit_limit,
    "credit_limit": billing_type_and_credit_limit,
    "max_credit_limit": billing_type_and_credit_limit,
    "decimals": decimals,
    "rounding": decimals,
    "tax_flag": tax,
    "tax_inclusive": tax,
    "tax_1": tax,
    "tax_2": tax,
    "tax_3": tax,
    "max_sessions": max_sessions,
    "cps": cps,
    "max_duration": max_duration,
    "codec_check": codec_check,
    "codecs": codecs,
    "with_media": with_media,
    "loss_guard": loss_guard,
    "cli_by_destination": cli_by_destination,
    "ip-devices.address": device_address,
    "ip-devices.dial_prefix": device_dial_prefix,
    "ip-devices.max_sessions": device_max_sessions,
    "ip-devices.cps": device_cps,
    "ip-devices.port": device_port_and_transport,
    "ip-devices.transport": device_port_and_transport,
    "ip-devices.is_trusted": device_is_trusted,
    "ip-devices.status": device_status,
    "sip-users.username": user_login_and_secret,
    "sip-users.extension": user_extension,
    "sip-users.address": user_address,
    "sip-users.max_sessions": user_max_sessions,
    "sip-users.cps": user_cps,
    "sip-users.status": user_status,
    "dialing-routes.pattern": dialing_pattern,
    "dialing-routes.route": dialing_route,
    "source-rules.rule": source_rules,
    "destination-rules.rule": destination_rules,
    "did-source-rules.rule": did_source_rules,
    "did-destination-rules.rule": did_destination_rules,
    "cli-rules.rule": cli_by_destination,
}
"""Fields of the forms, those under a tab with its name before."""

WITHOUT_EFFECT: Final = frozenset(
    {
        *("name", "company", "email", "phone", "address", "country", "pin", "payment_term", "tax_certificate"),
        *(name for name in Customer.model_fields if name.startswith("own_")),
        *("ip-devices.description", "sip-users.voice_mail", "sip-users.voice_mail_email"),
    }
)
"""What no call is changed by."""

ELSEWHERE: Final = frozenset(f"{tab}.{name}" for tab in ("ip-devices", "sip-users") for name in ("srtp", "dtmf"))
"""Fields of no customer's page as it was ordered, with calls of their own in tests/integration/test_media.py."""

CASES: Final = {case.__name__: case for case in [*SEED.values(), *FIELDS.values()]}


@pytest.mark.parametrize("name", CASES)
def test_field_changes_the_next_call(_stage: Stage, name: str) -> None:  # noqa: PT019 - it is used
    _stage(CASES[name])


def test_every_field_of_the_forms_has_a_case() -> None:
    fields = set(Customer.model_fields)
    for tab in TABS.values():
        fields |= {f"{tab.name}.{name}" for name in tab.form.model_fields}
    assert fields == set(FIELDS) | WITHOUT_EFFECT | ELSEWHERE
    assert not set(FIELDS) & WITHOUT_EFFECT
