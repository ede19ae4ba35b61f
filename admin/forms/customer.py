"""The sections of a customer's form."""

from typing import Final

from admin.forms.field import Input, Section
from b2bua.account.country import COUNTRIES
from b2bua.account.customer import BILLING_TYPES, PAYMENT_TERMS, ROUNDINGS, SELF_CARE, TAX_FLAGS, TYPES
from b2bua.account.field import PASSWORD_RULE

LOGIN: Final = Section(
    "login",
    "Web access",
    "The login that the customer opens the panel with.",
    (
        Input("login", "Web user name", "1 to 30 letters or digits.", most=30),
        Input("password", "Web password", f"{PASSWORD_RULE}.", kind="password", most=100),
    ),
)

SECTIONS: Final = (
    Section(
        "identity",
        "Customer",
        "Who it is, and whether it pays or only tries.",
        (
            Input(
                "customer_type",
                "Customer type",
                "A DEMO account spends its test credit and cannot pay in.",
                kind="radio",
                options=TYPES,
            ),
            Input("name", "Name", most=100),
            Input("company", "Company", most=100),
        ),
    ),
    Section(
        "contact",
        "Contact",
        "Where to reach it, and what its invoices show.",
        (
            Input("email", "E-mail address", "At most 30 characters.", kind="email", is_needed=False, most=100),
            Input("phone", "Phone number", "10 digits, like 3090182000.", kind="tel", most=30),
            Input(
                "address",
                "Address",
                "At most 200 characters.",
                kind="textarea",
                is_needed=False,
                is_wide=True,
                most=1000,
            ),
            Input("country", "Country", kind="select", options={"": "Not said", **COUNTRIES}, is_needed=False),
            Input("pin", "PIN code", "Postal code: 3 to 10 letters or digits.", is_needed=False, most=20),
        ),
    ),
    Section(
        "billing",
        "Billing",
        "What it pays, when, and how far it may go into debt.",
        (
            Input("tariff", "Tariff", "Prices of its calls. It decides the currency.", kind="select"),
            Input("billing_type", "Billing type", "Who pays first.", kind="radio", options=BILLING_TYPES),
            Input(
                "payment_term",
                "Payment term from invoice date",
                "1 to 30 days.",
                kind="select",
                unit="days",
                options={str(day): str(day) for day in PAYMENT_TERMS},
            ),
            Input(
                "max_credit_limit",
                "Maximum credit limit",
                "Bounds the credit limit and all credit that is added. 0: none.",
                kind="number",
                most=40,
            ),
            Input(
                "credit_limit",
                "Credit limit",
                "What a postpaid customer may owe now. 0: nothing.",
                kind="number",
                is_needed=False,
                most=40,
            ),
            Input(
                "decimals",
                "Billing decimals",
                "Decimals of a call's price, 0 to 10.",
                kind="number",
                most=3,
            ),
            Input("rounding", "Rounding", "Of the last decimal.", kind="select", options=ROUNDINGS),
        ),
        needs="money.read",
    ),
    Section(
        "tax",
        "Taxes",
        "What the law adds, or takes out of, the price.",
        (
            Input(
                "tax_flag",
                "VAT or tax",
                "The word on documents. NONE: no tax.",
                kind="radio",
                options={flag: flag for flag in TAX_FLAGS},
            ),
            Input("tax_inclusive", "Prices include the tax", "Off: it is added to them.", kind="switch"),
            Input("tax_1", "Tax 1", unit="%", kind="number", is_needed=False, most=10),
            Input("tax_2", "Tax 2", unit="%", kind="number", is_needed=False, most=10),
            Input("tax_3", "Tax 3", unit="%", kind="number", is_needed=False, most=10),
            Input("tax_certificate", "Certificate number", "At most 30 characters.", is_needed=False, most=60),
        ),
        needs="money.read",
    ),
    Section(
        "calls",
        "Calls",
        "How many, how long, and over which carriers. Holds for the next call.",
        (
            Input(
                "max_sessions",
                "Maximum call sessions",
                "Calls at a time. none: no limit. 0: none allowed.",
                kind="number",
                unit="calls",
                most=12,
            ),
            Input(
                "cps",
                "Call sessions per second",
                "New calls. none: no limit. 0: none allowed.",
                kind="number",
                unit="calls/s",
                most=12,
            ),
            Input(
                "max_duration",
                "Maximum call duration",
                "Longer calls are ended. Empty: the system's.",
                kind="number",
                unit="minutes",
                is_needed=False,
                most=12,
            ),
            Input(
                "loss_guard", "Don't allow call with loss route", "No carrier that costs more than it pays.", "switch"
            ),
            Input(
                "cli_by_destination",
                "Change CLI based on destination prefix",
                "On: the rules under CLI by destination count.",
                kind="switch",
            ),
        ),
    ),
    Section(
        "media",
        "Codecs and media",
        "What calls may sound like, and whether audio crosses our machine.",
        (
            Input(
                "codec_check",
                "Codec checking",
                "On: calls must offer a codec of the list, others are removed.",
                kind="switch",
            ),
            Input(
                "codecs",
                "Codec list",
                "The preferred first, with commas between.",
                kind="list",
                is_needed=False,
                is_wide=True,
            ),
            Input("with_media", "Call with media", "On: audio crosses our machine.", kind="switch"),
        ),
    ),
    Section(
        "care",
        "Self-care",
        "What the customer's own login may change, and whether it sees its rates.",
        tuple(Input(name, label, kind="switch") for name, label in SELF_CARE.items()),
    ),
)

RESELLER: Final = Input(
    "parent",
    "Reseller",
    "The account above it. It cannot be changed later.",
    kind="select",
    is_needed=False,
)
