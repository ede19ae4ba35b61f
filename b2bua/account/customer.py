"""The form of a customer: every field with its rule.

Names of fields are those of the columns, but for `tariff` and `parent`, which are a name and a code, and for the three
percentages, which are one column. `NewCustomer` adds the login that the customer opens with.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from b2bua.account import field as f
from b2bua.account.country import COUNTRIES

TYPES: Final = {"live": "LIVE", "demo": "DEMO"}
BILLING_TYPES: Final = {"prepaid": "Prepaid", "postpaid": "Postpaid"}
TAX_FLAGS: Final = ("NONE", "VAT", "TAX")
ROUNDINGS: Final = {"ROUND": "Half up", "CEIL": "Up"}
PAYMENT_TERMS: Final = range(1, 31)
CODECS: Final = ("PCMA", "PCMU", "G729", "G722", "opus", "GSM", "iLBC", "G726-32")
"""Offered for choice; others may be typed."""
SELF_CARE: Final = {
    "own_ip_devices": "IP devices",
    "own_sip_users": "SIP users",
    "own_source_rules": "Source rules",
    "own_destination_rules": "Destination rules",
    "own_did_source_rules": "DID source rules",
    "own_did_destination_rules": "DID destination rules",
    "own_rates": "Rates",
}
"""The switches: what the customer's own logins may change, and of its rates, see."""
SECRET: Final = frozenset({"password"})
"""Fields that are never shown again."""

_NOT_COLUMNS: Final = frozenset({"tariff", "parent", "tax_1", "tax_2", "tax_3", "login", "password"})


def _country(typed: str) -> str:
    if typed and typed not in COUNTRIES:
        raise f.Fault("Country must be one of the list")
    return typed


def _phone(value: object, info: ValidationInfo) -> object:
    """Ten digits; the validation context says whether E.164 is taken too."""
    takes_e164 = bool((info.context or {}).get("e164_phones"))
    try:
        return f.phone("Phone number", takes_e164=takes_e164)(str(value or ""))
    except f.Fault as fault:
        raise PydanticCustomError("rule", "{text}", {"text": str(fault)}) from None


class Customer(f.Form):
    """What can be changed of a customer."""

    customer_type: Annotated[str, f.field(f.choice("Customer type", TYPES))] = ""
    name: Annotated[str, f.field(f.text("Name", 100))] = ""
    company: Annotated[str, f.field(f.text("Company", 100))] = ""
    email: Annotated[str, f.field(f.email("E-mail address", 30))] = ""
    phone: Annotated[str, BeforeValidator(_phone)] = ""
    address: Annotated[str, f.field(f.text("Address", 200, needed=False))] = ""
    country: Annotated[str, f.field(_country)] = ""
    pin: Annotated[str, f.field(f.pin("PIN code"))] = ""

    tariff: Annotated[str, f.field(f.text("Tariff", 100))] = ""
    billing_type: Annotated[str, f.field(f.choice("Billing type", BILLING_TYPES))] = ""
    payment_term: Annotated[int, f.field(f.whole("Payment term", 1, 30))] = 0
    max_credit_limit: Annotated[Decimal, f.field(f.amount("Maximum credit limit", needed=True))] = Decimal(0)
    credit_limit: Annotated[Decimal, f.field(f.amount("Credit limit"))] = Decimal(0)
    decimals: Annotated[int, f.field(f.whole("Billing decimals", 0, 10))] = 0
    rounding: Annotated[str, f.field(f.choice("Rounding", ROUNDINGS))] = "ROUND"
    tax_flag: Annotated[str, f.field(f.choice("VAT or tax", TAX_FLAGS))] = ""
    tax_inclusive: Annotated[bool, f.field(f.switch("Prices include the tax"))] = False
    tax_1: Annotated[Decimal | None, f.field(f.percent("Tax 1"))] = None
    tax_2: Annotated[Decimal | None, f.field(f.percent("Tax 2"))] = None
    tax_3: Annotated[Decimal | None, f.field(f.percent("Tax 3"))] = None
    tax_certificate: Annotated[str, f.field(f.text("Certificate number", 30, needed=False))] = ""

    max_sessions: Annotated[int | None, f.field(f.limit("Maximum call sessions", needed=True))] = None
    cps: Annotated[int | None, f.field(f.limit("Call sessions per second", needed=True))] = None
    max_duration: Annotated[int | None, f.field(f.minutes("Maximum call duration"))] = None
    codec_check: Annotated[bool, f.field(f.switch("Codec checking"))] = False
    codecs: Annotated[tuple[str, ...], f.field(f.codecs("Codec list"))] = ()
    with_media: Annotated[bool, f.field(f.switch("Call with media"))] = False
    loss_guard: Annotated[bool, f.field(f.switch("Loss guard"))] = False
    cli_by_destination: Annotated[bool, f.field(f.switch("CLI by destination"))] = False

    own_ip_devices: Annotated[bool, f.field(f.switch("IP devices"))] = False
    own_sip_users: Annotated[bool, f.field(f.switch("SIP users"))] = False
    own_source_rules: Annotated[bool, f.field(f.switch("Source rules"))] = False
    own_destination_rules: Annotated[bool, f.field(f.switch("Destination rules"))] = False
    own_did_source_rules: Annotated[bool, f.field(f.switch("DID source rules"))] = False
    own_did_destination_rules: Annotated[bool, f.field(f.switch("DID destination rules"))] = False
    own_rates: Annotated[bool, f.field(f.switch("Rates"))] = False

    @property
    def tax_percents(self) -> list[Decimal]:
        """The percentages that were given."""
        return [percent for percent in (self.tax_1, self.tax_2, self.tax_3) if percent is not None]

    @model_validator(mode="after")
    def _credit_fits(self) -> Self:
        if self.customer_type == "demo" and self.billing_type != "prepaid":
            raise f.misfit("billing_type", "A DEMO account must be prepaid: it spends its test credit and nothing else")
        if self.credit_limit and self.billing_type != "postpaid":
            raise f.misfit(
                "credit_limit", "Credit limit must be 0 for a prepaid account: it gets credit under Payments"
            )
        if self.credit_limit > self.max_credit_limit:
            raise f.misfit("credit_limit", f"Credit limit must be at most {plain(self.max_credit_limit)}, the maximum")
        return self

    @model_validator(mode="after")
    def _taxes_fit(self) -> Self:
        if self.tax_flag == "NONE" and any(self.tax_percents):
            raise f.misfit("tax_flag", "Choose VAT or TAX where there are percentages, or leave those empty")
        if self.tax_flag != "NONE" and not self.tax_percents:
            raise f.misfit("tax_1", f"Tax 1 is needed with {self.tax_flag}: a percentage, like 19")
        return self

    @model_validator(mode="after")
    def _codecs_fit(self) -> Self:
        if self.codec_check and not self.codecs:
            raise f.misfit("codecs", "Codec list is needed with codec checking: the preferred codec first")
        return self

    def columns(self) -> dict[str, Any]:
        """Values of the columns that are the form's own, as JSON has them."""
        values = {name: _json(value) for name, value in self if name not in _NOT_COLUMNS}
        return values | {"tax_percents": [str(percent) for percent in self.tax_percents]}


class NewCustomer(Customer):
    """What a customer begins with."""

    parent: Annotated[str, f.field(f.pattern("Reseller", "[A-Z]{4}[0-9]{4,}", "a code", needed=False))] = ""
    login: Annotated[str, f.field(f.login("Web user name"))] = ""
    password: Annotated[str, f.field(f.password("Web password"))] = ""


def read_field(name: str, typed: str, context: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
    """Read one field by itself, as a change on the command line does.

    Raises:
        Fault: there is no such field that stands alone, or what was typed is not right.
    """
    if name not in Customer.model_fields or name in _NOT_COLUMNS:
        names = ", ".join(sorted(set(Customer.model_fields) - _NOT_COLUMNS))
        raise f.Fault(f"there is no field {name}; there are {names}")
    return _json(f.read_field(Customer, name, typed, context))


def _json(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


START: Final[Mapping[str, str]] = {
    "customer_type": "live",
    "billing_type": "prepaid",
    "payment_term": "14",
    "max_credit_limit": "0",
    "credit_limit": "0",
    "decimals": "4",
    "rounding": "ROUND",
    "tax_flag": "NONE",
    "max_sessions": "1",
    "cps": "1",
    "max_duration": "120",
    "codecs": "G729, PCMU, PCMA, G722",
    **dict.fromkeys(SELF_CARE, "yes"),
}
"""What an empty form shows."""


def texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a form that shows a customer as it is, from its row with the names of tariff and reseller."""
    percents = [plain(percent) for percent in row["tax_percents"]] + ["", "", ""]
    texts = {name: _typed(name, row[name]) for name in Customer.model_fields if name in row}
    return texts | dict(zip(("tax_1", "tax_2", "tax_3"), percents, strict=False))


def _typed(name: str, value: object) -> str:
    if name == "max_duration":
        return f.show_minutes(value if isinstance(value, int) else None)
    if name in {"max_sessions", "cps"} and value is None:
        return f.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return "" if value is None else plain(value) if isinstance(value, Decimal) else str(value)


def plain(amount: Decimal) -> str:
    """An amount without needless zeros, and never as a power of ten."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
