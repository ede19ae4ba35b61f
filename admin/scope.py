"""The accounts a login sees: staff all, a reseller its own and those below it, a customer its own.

Every query that reads accounts, calls or records takes a scope. In SQL it is two parameters, of which at most one is
set: `exact`, the only account, and `top`, the highest one of a subtree.
"""

from dataclasses import dataclass
from typing import Final

from admin.permissions import STAFF


@dataclass(frozen=True, slots=True)
class Scope:
    """What part of the tree of accounts is visible."""

    exact: int | None = None
    """Only this account."""
    top: int | None = None
    """This account and those below it."""

    @property
    def account_id(self) -> int | None:
        """The login's own account; None for staff."""
        return self.exact if self.exact is not None else self.top

    @property
    def account_ids(self) -> list[int] | None:
        """The same as the control interface takes it: None is everything."""
        return None if self.account_id is None else [self.account_id]

    def covers(self, account_chain: list[int]) -> bool:
        """Whether an account is visible, given it and the accounts above it."""
        if self.exact is not None:
            return account_chain[:1] == [self.exact]
        return self.top is None or self.top in account_chain


EVERYTHING: Final = Scope()


def scope_of(role: str, account_id: int | None) -> Scope:
    """The scope of a login.

    Raises:
        ValueError: a login that is not staff has no account; it must see nothing rather than everything.
    """
    if role in STAFF:
        return EVERYTHING
    if account_id is None:
        raise ValueError(f"a {role} without an account")
    return Scope(top=account_id) if role == "reseller" else Scope(exact=account_id)
