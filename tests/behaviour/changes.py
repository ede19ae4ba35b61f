"""How a row says what it changes in the configuration: SQL, by the names of things.

`SETUP` comes on top of the demo data: one customer below two resellers, a price for every number on every level, one
carrier behind the route, a carrier that brings calls, a private exchange, two telephones, one DID.
"""

from typing import Final

ACCOUNT: Final = "DEMO0002"
RESELLER: Final = "DEMO0001"
TOP_RESELLER: Final = "RESE0001"
CARRIER: Final = "CARR0001"
OTHER_CARRIER: Final = "CARR0002"
INCOMING_CARRIER: Final = "CARR0003"
"""Calls come from it; no route leads to it."""

GATEWAY: Final = "demo-a"
PHONE: Final = "phone"
PHONE_EXTENSION: Final = "200"
ABSENT_PHONE: Final = "absent"
"""Its owner has never registered it."""
ABSENT_EXTENSION: Final = "201"
DID: Final = "4930123456"
EMERGENCY: Final = "112"

CALLER_ADDRESS: Final = "127.0.0.1"
"""Of the customer's IP device, and of both gateways."""
INCOMING_ADDRESS: Final = "127.0.0.3"
"""Of the gateway that calls come from; no device is there."""
EXCHANGE_ADDRESS: Final = "127.0.0.4"
"""Of the customer's private exchange, where the DID leads."""
PHONE_ADDRESS: Final = "127.0.0.5"
NOBODYS_ADDRESS: Final = "127.0.0.6"

TARIFFS: Final = {ACCOUNT: "demo retail", RESELLER: "demo wholesale", TOP_RESELLER: "top"}
CARRIER_TARIFF: Final = "demo carrier A"

SETUP: Final = f"""
INSERT INTO tariff (name, kind, currency) VALUES ('top', 'customer', 'EUR');
INSERT INTO ratecard (name) VALUES ('top');
INSERT INTO tariff_ratecard (tariff_id, ratecard_id)
    SELECT tariff.id, ratecard.id FROM tariff JOIN ratecard USING (name) WHERE name = 'top';
DELETE FROM rate;
INSERT INTO rate (ratecard_id, prefix, rate_per_minute)
    SELECT id, '',
        CASE name WHEN 'demo retail' THEN 0.05 WHEN 'demo wholesale' THEN 0.04 WHEN 'top' THEN 0.03 ELSE 0.01 END
    FROM ratecard;
INSERT INTO account (code, kind, name, currency, tariff_id)
    SELECT '{TOP_RESELLER}', 'reseller', 'Reseller above the reseller', 'EUR', id FROM tariff WHERE name = 'top';
UPDATE account SET parent_id = (SELECT id FROM account WHERE code = '{TOP_RESELLER}') WHERE code = '{RESELLER}';
UPDATE account SET max_sessions = NULL, cps = NULL;
UPDATE ip_device SET max_sessions = NULL, cps = NULL;
UPDATE carrier SET max_sessions = NULL, cps = NULL;
UPDATE gateway SET max_sessions = NULL, cps = NULL;
UPDATE account_balance SET balance = 1000;
INSERT INTO reseller_route (account_id, route_id)
    SELECT account.id, route.id FROM account, route WHERE account.kind = 'reseller' ON CONFLICT DO NOTHING;
DELETE FROM route_entry WHERE carrier_id = (SELECT id FROM carrier WHERE code = '{OTHER_CARRIER}');
INSERT INTO carrier (code, name, currency) VALUES ('{INCOMING_CARRIER}', 'Carrier that calls come from', 'EUR');
INSERT INTO gateway (carrier_id, name, host)
    SELECT id, 'incoming', '{INCOMING_ADDRESS}' FROM carrier WHERE code = '{INCOMING_CARRIER}';
INSERT INTO sip_user (account_id, username, ha1_md5, extension)
    SELECT account.id, phone.name, md5(phone.name || ':' || realm.value || ':secret'), phone.extension
    FROM account, system_value AS realm,
        (VALUES ('{PHONE}', '{PHONE_EXTENSION}'), ('{ABSENT_PHONE}', '{ABSENT_EXTENSION}')) AS phone (name, extension)
    WHERE account.code = '{ACCOUNT}' AND realm.name = 'realm';
INSERT INTO ip_device (account_id, address, port)
    SELECT id, '{EXCHANGE_ADDRESS}/32', {{exchange_port}} FROM account WHERE code = '{ACCOUNT}';
DELETE FROM did_destination;
DELETE FROM did;
DELETE FROM emergency_number;
INSERT INTO emergency_number (pattern, route_id) SELECT '{EMERGENCY}', id FROM route WHERE name = 'demo';
INSERT INTO did (number, account_id) SELECT '{DID}', id FROM account WHERE code = '{ACCOUNT}';
INSERT INTO did_destination (did_id, kind, ip_device_id)
    SELECT did.id, 'ip_device', ip_device.id FROM did, ip_device WHERE address = '{EXCHANGE_ADDRESS}/32';
"""


def account(code: str, values: str) -> str:
    """Set columns of an account."""
    return f"UPDATE account SET {values} WHERE code = '{code}';"


def device(values: str, address: str = CALLER_ADDRESS) -> str:
    """Set columns of the IP device at an address."""
    return f"UPDATE ip_device SET {values} WHERE address = '{address}/32';"


def user(name: str, values: str) -> str:
    """Set columns of a SIP user."""
    return f"UPDATE sip_user SET {values} WHERE username = '{name}';"


def carrier(code: str, values: str) -> str:
    """Set columns of a carrier."""
    return f"UPDATE carrier SET {values} WHERE code = '{code}';"


def gateway(values: str) -> str:
    """Set columns of the carrier's gateway."""
    return f"UPDATE gateway SET {values} WHERE name = '{GATEWAY}';"


def tariff(name: str, values: str) -> str:
    """Set columns of a tariff."""
    return f"UPDATE tariff SET {values} WHERE name = '{name}';"


def incoming_price(name: str) -> str:
    """Give a tariff a price for calls to DIDs."""
    return (
        "INSERT INTO ratecard (name, direction) VALUES ('incoming', 'incoming');"
        "INSERT INTO rate (ratecard_id, prefix, rate_per_minute)"
        " SELECT id, '', 0.01 FROM ratecard WHERE name = 'incoming';"
        "INSERT INTO tariff_ratecard (tariff_id, ratecard_id)"
        " SELECT tariff.id, ratecard.id FROM tariff, ratecard"
        f" WHERE tariff.name = '{name}' AND ratecard.name = 'incoming';"
    )


def rates(name: str, values: str) -> str:
    """Set columns of all rates of a tariff."""
    return f"UPDATE rate SET {values} WHERE ratecard_id = (SELECT id FROM ratecard WHERE name = '{name}');"


def route(values: str) -> str:
    """Set columns of the route."""
    return f"UPDATE route SET {values};"


def entry(values: str) -> str:
    """Set columns of the route's one entry."""
    return f"UPDATE route_entry SET {values};"


def second_carrier() -> str:
    """Add an entry with the other carrier, to be used after the first."""
    return (
        "INSERT INTO route_entry (route_id, prefix, carrier_id, priority)"
        f" SELECT route.id, '', carrier.id, 2 FROM route, carrier WHERE code = '{OTHER_CARRIER}';"
    )


def dialing_pattern(pattern: str) -> str:
    """Set the account's one dialing pattern."""
    return (
        f"UPDATE dialing_route SET pattern = '{pattern}'"
        f" WHERE account_id = (SELECT id FROM account WHERE code = '{ACCOUNT}');"
    )


def forbid_route(reseller: str) -> str:
    """Take the route from a reseller."""
    return f"DELETE FROM reseller_route WHERE account_id = (SELECT id FROM account WHERE code = '{reseller}');"


def did(values: str) -> str:
    """Set columns of the one DID."""
    return f"UPDATE did SET {values};"


def rules(owner: str, kind: str, *texts: str) -> str:
    """Give an account or a carrier these number rules of a kind and no others."""
    table = "carrier" if owner.startswith("CARR") else "account"
    whose = f"(SELECT id FROM {table} WHERE code = '{owner}')"
    statements = [f"DELETE FROM number_rule WHERE {table}_id = {whose} AND kind = '{kind}';"]
    statements += [
        f"INSERT INTO number_rule ({table}_id, kind, rule) VALUES ({whose}, '{kind}', '{text}');" for text in texts
    ]
    return "".join(statements)


def no_funds(code: str) -> str:
    """Take from an account all that it may spend."""
    return (
        "UPDATE account_balance SET granted = -balance"
        f" WHERE account_id = (SELECT id FROM account WHERE code = '{code}');"
    )
