"""Which accounts a login sees."""

import pytest

from admin.scope import EVERYTHING, Scope, scope_of


def test_staff_see_everything() -> None:
    for role in ("administrator", "support", "accounts"):
        assert scope_of(role, None) == EVERYTHING
    assert EVERYTHING.account_ids is None
    assert EVERYTHING.covers([])


def test_reseller_sees_its_subtree_and_customer_itself() -> None:
    assert scope_of("reseller", 7) == Scope(top=7)
    assert scope_of("customer", 7) == Scope(exact=7)
    assert Scope(top=7).covers([9, 8, 7])
    assert not Scope(top=7).covers([9, 8])
    assert Scope(exact=7).covers([7, 3])
    assert not Scope(exact=7).covers([9, 7])
    assert Scope(exact=7).account_ids == Scope(top=7).account_ids == [7]


@pytest.mark.parametrize("role", ["reseller", "customer", "unheard of"])
def test_login_without_an_account_sees_nothing_rather_than_everything(role: str) -> None:
    with pytest.raises(ValueError, match="without an account"):
        scope_of(role, None)
