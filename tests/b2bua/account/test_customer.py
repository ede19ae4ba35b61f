"""The form of a customer as a whole."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from b2bua.account.customer import START, Customer, NewCustomer, read_field, texts_of
from b2bua.account.field import Fault, faults_of

TYPED = {
    **START,
    "name": "Anna Example",
    "company": "Example & Sons",
    "phone": "3090182000",
    "tariff": "retail",
    "login": "anna1",
    "password": "Correct-horse-7",
}


def faults(**typed: str) -> dict[str, str]:
    try:
        NewCustomer.model_validate({**TYPED, **typed})
    except ValidationError as error:
        return faults_of(error)
    return {}


def test_typed_form_is_taken() -> None:
    form = NewCustomer.model_validate(TYPED)
    assert (form.codecs, form.max_duration, form.own_sip_users) == (("G729", "PCMU", "PCMA", "G722"), 7200, True)
    assert "password" not in form.columns()
    assert form.columns()["tax_percents"] == []


def test_empty_form_names_every_mandatory_field_once() -> None:
    with pytest.raises(ValidationError) as caught:
        NewCustomer.model_validate({})
    assert set(faults_of(caught.value)) == {
        *("customer_type", "name", "company", "phone", "tariff", "billing_type", "payment_term", "tax_flag"),
        *("max_sessions", "cps", "login", "password"),
    }


@pytest.mark.parametrize(
    ("typed", "name", "words"),
    [
        ({"customer_type": "demo", "billing_type": "postpaid"}, "billing_type", "A DEMO account must be prepaid"),
        ({"credit_limit": "5", "max_credit_limit": "9"}, "credit_limit", "must be 0 for a prepaid account"),
        (
            {"billing_type": "postpaid", "credit_limit": "5", "max_credit_limit": "4"},
            "credit_limit",
            "Credit limit must be at most 4",
        ),
        ({"tax_1": "19"}, "tax_flag", "Choose VAT or TAX"),
        ({"tax_flag": "VAT"}, "tax_1", "Tax 1 is needed with VAT"),
        ({"codec_check": "yes", "codecs": ""}, "codecs", "Codec list is needed"),
        ({"country": "XX"}, "country", "Country must be one of the list"),
    ],
)
def test_fields_that_do_not_go_together_are_refused_at_one_of_them(
    typed: dict[str, str], name: str, words: str
) -> None:
    found = faults(**typed)
    assert list(found) == [name]
    assert words in found[name]


def test_form_of_a_row_is_read_as_that_row() -> None:
    row = {
        **Customer.model_validate(TYPED).model_dump(),
        "tax_flag": "VAT",
        "tax_percents": [Decimal("19.0000")],
        "max_sessions": None,
        "max_duration": 90,
        "max_credit_limit": Decimal("500.0000000000"),
    }
    form = Customer.model_validate(texts_of(row))
    assert form.tax_percents == [Decimal(19)]
    assert (form.max_sessions, form.max_duration, form.max_credit_limit) == (None, 90, Decimal(500))


def test_one_field_is_read_by_the_same_rule() -> None:
    assert read_field("payment_term", "30") == 30
    assert read_field("phone", "+493090182000", {"e164_phones": True}) == "+493090182000"
    for name, typed, words in (("payment_term", "31", "from 1 to 30"), ("password", "x", "there is no field password")):
        with pytest.raises(Fault, match=words):
            read_field(name, typed)
