"""Customers, carriers and routes in the database of a running switch, beside the demo data."""

import itertools
from collections.abc import Sequence
from typing import Any

from rating.funds import funds_key
from tests.support.switch import Switch, wait_until

_numbers = itertools.count(5000)


class Configuration:
    """Writes to the database of a switch, and takes back what it wrote.

    Args:
        switch: It has the demo data: their tariffs are used.
    """

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self._made: list[tuple[str, int]] = []
        (row,) = switch.query(
            "SELECT (SELECT tariff_id FROM account WHERE code = 'DEMO0002') AS customer,"
            " (SELECT tariff_id FROM carrier ORDER BY id LIMIT 1) AS carrier, (SELECT id FROM route LIMIT 1) AS route"
        )
        self.tariff, self.carrier_tariff, self.demo_route = row["customer"], row["carrier"], row["route"]

    def insert(self, table: str, **values: Any) -> int:
        """Insert a row and return its id."""
        columns = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        (row,) = self.switch.query(f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id", *values.values())
        self._made.append((table, row["id"]))
        return int(row["id"])

    def update(self, table: str, row_id: int, **values: Any) -> None:
        """Change a row and wait until the worker knows."""
        changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(values, 2))
        self.switch.query(f"UPDATE {table} SET {changes} WHERE id = $1", row_id, *values.values())
        self.switch.wait_for_configuration()

    def account(self, *, kind: str = "customer", parent_id: int | None = None, **values: Any) -> int:
        """An account that may owe a million."""
        code = f"TEST{next(_numbers)}"
        known = {"billing_type": "postpaid", "credit_limit": 1_000_000, "currency": "EUR", "tariff_id": self.tariff}
        account = self.insert("account", code=code, name=code, kind=kind, parent_id=parent_id, **{**known, **values})
        top = account if parent_id is None else parent_id
        wait_until(lambda: self.switch.live("HGET", funds_key(top, account), "base"), "the funds of a new account")
        return account

    def customer(self, address: str, route_id: int, **values: Any) -> tuple[int, int]:
        """A customer with a device at an address and a route for every number; ids of account and device."""
        account = self.account(**values)
        device = self.insert("ip_device", account_id=account, address=address)
        self.insert("dialing_route", account_id=account, pattern="%", route_id=route_id)
        return account, device

    def carrier(self, port: int, *, gateway: dict[str, Any] | None = None, **values: Any) -> tuple[int, int]:
        """A carrier with one gateway on a port of loopback; ids of carrier and gateway."""
        code = f"TEST{next(_numbers)}"
        known = {"currency": "EUR", "tariff_id": self.carrier_tariff, **values}
        carrier = self.insert("carrier", code=code, name=code, **known)
        return carrier, self.insert(
            "gateway", carrier_id=carrier, name=code.lower(), port=port, **{"host": "127.0.0.1", **(gateway or {})}
        )

    def route(self, carriers: Sequence[int], *, weights: Sequence[int] = (), **values: Any) -> int:
        """A route to carriers, one after the other, or with these weights in one priority."""
        route = self.insert("route", name=f"test-{next(_numbers)}", **values)
        for number, carrier in enumerate(carriers):
            place = {"weight": weights[number]} if weights else {"priority": number + 1}
            self.insert("route_entry", route_id=route, prefix="", carrier_id=carrier, **place)
        return route

    def remove(self) -> None:
        """Take everything back, the newest first; accounts, which keep their ledger, stay without devices."""
        for table, row_id in reversed(self._made):
            if table not in ("account", "carrier", "gateway", "route"):
                self.switch.query(f"DELETE FROM {table} WHERE id = $1", row_id)
        self.switch.wait_for_configuration()
