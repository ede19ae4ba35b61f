"""The form of a carrier as a whole."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from b2bua.account.field import faults_of
from b2bua.routing.carrier import START, Carrier, NewCarrier, texts_of

TYPED = {**START, "name": "Nordic", "max_sessions": "30", "cps": "none", "tax_inclusive": "no"}


def test_typed_form_gives_the_columns() -> None:
    form = Carrier.model_validate({**TYPED, "tax_1": "19", "tax_3": "7.5", "codecs": "PCMA,G729"})
    columns = form.columns()
    assert (columns["tax_percents"], columns["codecs"], columns["cps"]) == (["19", "7.5"], ["PCMA", "G729"], None)
    assert not {"tariff", "tax_1", "code", "currency"} & set(columns)


def test_empty_form_names_what_is_needed() -> None:
    with pytest.raises(ValidationError) as caught:
        NewCarrier.model_validate({**START})
    assert set(faults_of(caught.value)) == {"code", "name"}


def test_row_is_shown_as_it_is_typed() -> None:
    form = Carrier.model_validate({**TYPED, "tax_1": "19", "codecs": "PCMA, G729"})
    row = {**form.columns(), "tariff": None, "tax_percents": [Decimal("19.0000")]}
    assert Carrier.model_validate(texts_of(row)) == form
