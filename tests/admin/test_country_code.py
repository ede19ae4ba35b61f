"""Country codes."""

import pytest

from admin.country_code import CODES, country_code
from b2bua.account.country import COUNTRIES


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [
        ("4930901820", "49", "Germany"),
        ("442", "44", "United Kingdom"),
        ("35318000000", "353", "Ireland"),
        ("12125550100", "1", "North America"),
        ("0049", "", None),
        ("*98", "", None),
        ("", "", None),
    ],
)
def test_number_begins_with_the_code_of_its_country(number: str, code: str, name: str | None) -> None:
    assert country_code(number) == code
    assert CODES.get(code) == name or (name is not None and CODES[code].startswith(name))


def test_no_code_begins_another_one() -> None:
    for code in CODES:
        assert not any(code != other and code.startswith(other) for other in CODES)
    unnamed = {name for name in CODES.values() if len(name) == 2}
    assert not unnamed & set(COUNTRIES)
