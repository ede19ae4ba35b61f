"""The form of a gateway as a whole."""

import pytest
from pydantic import ValidationError

from b2bua.account.field import faults_of
from b2bua.routing.gateway import START, ChangedGateway, Gateway, NewGateway, texts_of

TYPED = {**START, "host": "192.0.2.10", "port": "5060"}


def faults(**typed: str) -> dict[str, str]:
    try:
        NewGateway.model_validate({**TYPED, "name": "g", **typed})
    except ValidationError as error:
        return faults_of(error)
    return {}


def test_secret_and_name_are_no_columns() -> None:
    form = NewGateway.model_validate({**TYPED, "name": "g", "auth_secret": "hush"})
    assert not {"name", "auth_secret", "forgets_secret"} & set(form.columns())


def test_row_is_shown_as_it_is_typed() -> None:
    more = {"added_headers": "X-B: 1\r\nX-C: 2, 3", "passed_headers": "x-a,s", "is_trusted": "yes", "session_timer": ""}
    form = Gateway.model_validate({**TYPED, **more})
    assert (form.added_headers, form.passed_headers) == (("X-B: 1", "X-C: 2, 3"), ("X-A", "Subject"))
    assert Gateway.model_validate(texts_of(form.columns())) == form


@pytest.mark.parametrize(
    ("typed", "name", "words"),
    [
        ({"registers": "yes"}, "auth_user", "User name is needed to register"),
        ({"auth_secret": "a", "forgets_secret": "yes"}, "auth_secret", "Secret must be empty"),
        ({"auth_secret": "a\nb"}, "auth_secret", "Secret must have at most 128"),
        ({"added_headers": "Via: x"}, "added_headers", "made anew on each leg"),
        ({"passed_headers": "X A"}, "passed_headers", "Headers that go along must be names"),
        ({"from_domain": "a b"}, "from_domain", "From host must be a host"),
        ({"port": "70000"}, "port", "Port must be from 1 to 65535"),
        ({"probe_interval": "86401"}, "probe_interval", "Probing must be a whole number from 0 to 86400"),
    ],
)
def test_fault_stands_at_the_field_it_is_about(typed: dict[str, str], name: str, words: str) -> None:
    assert words in faults(**typed)[name]


def test_from_user_is_enough_to_register() -> None:
    assert faults(registers="yes", from_user="4930900") == {}
    assert ChangedGateway.model_validate({**TYPED, "registers": "yes", "from_user": "1"}).auth_secret == ""
