"""The forms of logins: those of the operator, and those of an account."""

from typing import Annotated, Final

from admin import time_zone
from admin.forms.field import Input
from b2bua.account import field as f

ROLES: Final = {
    "administrator": "Administrator",
    "support": "Support",
    "accounts": "Accounts",
}
"""Of the operator; an account's logins have the role that its kind says."""
THEMES: Final = {"auto": "As the device", "light": "Light", "dark": "Dark"}
ALL_ROLES: Final = {**ROLES, "reseller": "Reseller", "customer": "Customer"}


def _zone(typed: str) -> str:
    if (typed or time_zone.USUAL) not in time_zone.names():
        raise f.Fault("Time zone must be one of the list, like Europe/Berlin")
    return typed or time_zone.USUAL


class AccountLogin(f.Form):
    """A login of an account, whose role is given."""

    login: Annotated[str, f.field(f.login("Login"))] = ""
    time_zone: Annotated[str, f.field(_zone)] = ""


class StaffLogin(AccountLogin):
    """A login of the operator."""

    role: Annotated[str, f.field(f.choice("Role", ROLES))] = ""


class Preferences(f.Form):
    """What a login chooses for itself."""

    time_zone: Annotated[str, f.field(_zone)] = ""
    theme: Annotated[str, f.field(f.choice("Theme", THEMES))] = "auto"


LOGIN: Final = Input("login", "Login", "1 to 30 letters or digits. It cannot be changed later.", most=30)
ROLE: Final = Input("role", "Role", "What it may see and do.", kind="select", options=ROLES)
TIME_ZONE: Final = Input(
    "time_zone", "Time zone", "In which times are shown and chosen. Files, and whole days, stay in UTC.", kind="select"
)
THEME: Final = Input("theme", "Theme", "On every device you sign in with.", kind="radio", options=THEMES)


def zones() -> dict[str, str]:
    """What may be chosen as a time zone."""
    return {name: name.replace("_", " ") for name in time_zone.names()}
