"""An answer to the verb `explain`, as a worker gives it: a reseller's customer calls over one of two carriers."""

from typing import Any


def level(account: str, price: str, **changed: Any) -> dict[str, Any]:
    return {
        "account": account,
        "kind": "customer",
        "tariff": f"tariff of {account}",
        "currency": "EUR",
        "prefix": "49",
        "rate_per_minute": price,
        "reference_price": price,
        **changed,
    }


def candidate(carrier: str, order: list[int], cost: str, **changed: Any) -> dict[str, Any]:
    return {
        "carrier": carrier,
        "gateways": [{"name": f"{carrier}-gateway", "state": "up"}],
        "prefix": "49",
        "priority": 1,
        "weight": 100,
        "number": "99#4930901820",
        "cost": cost,
        "price": "0.0712",
        "margin": "0.0321",
        "currency": "EUR",
        "order": order,
        "dropped": "" if order else "loss of account RESE0009",
        **changed,
    }


def answer(**decision: Any) -> dict[str, Any]:
    """The answer, with another decision."""
    return {
        "worker": "sip-1",
        "draining": False,
        "revision": 7,
        "at": "2026-01-31T08:00:00+00:00",
        "reference_seconds": 60,
        "steps": [
            {"check": "caller", "looked_at": "198.51.100.7: ip:7", "outcome": "ok"},
            {"check": "accounts", "looked_at": "CUST0101 < RESE0001 < RESE0009", "outcome": "ok"},
            {"check": "prices", "looked_at": "CUST0101 0.0712 EUR/min, RESE0009 0.0499 EUR/min", "outcome": "ok"},
            {"check": "route", "looked_at": "standard: 1 to try", "outcome": "ok"},
        ],
        "candidates": [candidate("CARR0002", [], "0.0899"), candidate("CARR0001", [1], "0.0391")],
        "decision": {
            "code": "",
            "object": "",
            "kind": "outgoing",
            "sip_status": None,
            "q850_cause": None,
            "account": "CUST0101",
            "device": "ip:7",
            "did": None,
            "from_carrier": None,
            "from_gateway": None,
            "route": "standard",
            "source": "442079460001",
            "destination": "4930901820",
            "sent_destination": "4930901820",
            "max_duration": 3600,
            "levels": [level("CUST0101", "0.0712"), level("RESE0001", "0.0533"), level("RESE0009", "0.0499")],
            "attempts": [
                {
                    "kind": "gateway",
                    "gateway": "CARR0001-gateway",
                    "carrier": "CARR0001",
                    "source": "442079460001",
                    "destination": "99#4930901820",
                }
            ],
            "limits": [],
            **decision,
        },
    }


def refusal(code: str, refuser: str, **decision: Any) -> dict[str, Any]:
    """The same call, refused by its last check."""
    refused = answer(code=code, object=refuser, sip_status=503, q850_cause=34, attempts=[], **decision)
    refused["steps"].append({"check": "device", "looked_at": "", "outcome": f"{code} {refuser}"})
    return refused
