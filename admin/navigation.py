"""The entries of the navigation, in groups, each with the permission that shows it."""

from dataclasses import dataclass
from typing import Final

from admin.permissions import Permission
from admin.stores.users import User


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the navigation."""

    title: str
    icon: str
    route: str
    permission: Permission

    @property
    def resource(self) -> str:
        """What its route names have in common: `customer` of `customer.list`."""
        return self.route.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Group:
    """Entries under one heading; an empty title for none."""

    title: str
    entries: tuple[Entry, ...]


GROUPS: Final = (
    Group(
        "",
        (
            Entry("Overview", "gauge", "overview.show", Permission.OVERVIEW),
            Entry("Live calls", "phone-call", "call.list", Permission.CALLS_READ),
            Entry("Call records", "list-details", "record.list", Permission.RECORDS_READ),
            Entry("Call analysis", "activity", "analysis.show", Permission.RECORDS_READ),
            Entry("Explain a call", "zoom-question", "explain.show", Permission.CALLS_EXPLAIN),
        ),
    ),
    Group(
        "Accounts",
        (
            Entry("Customers", "users", "customer.list", Permission.CUSTOMERS_READ),
            Entry("Resellers", "building", "reseller.list", Permission.RESELLERS_READ),
            Entry("DID numbers", "hash", "did.list", Permission.DIDS_READ),
            Entry("My rates", "coin", "rate.own", Permission.OWN_ACCOUNT),
            Entry("My account", "wallet", "statement.own", Permission.OWN_ACCOUNT),
        ),
    ),
    Group(
        "Rates and routing",
        (
            Entry("Carriers", "building-broadcast-tower", "carrier.list", Permission.CARRIERS_MANAGE),
            Entry("Tariffs", "coin", "tariff.list", Permission.TARIFFS_READ),
            Entry("Ratecards", "table", "ratecard.list", Permission.TARIFFS_READ),
            Entry("Routes", "route", "route.list", Permission.ROUTES_MANAGE),
        ),
    ),
    Group(
        "System",
        (
            Entry("Registrations", "phone", "registration.list", Permission.REGISTRATIONS_READ),
            Entry("Gateway states", "router", "gateway_state.list", Permission.GATEWAY_STATES_READ),
            Entry("Bans", "ban", "ban.list", Permission.BANS_READ),
            Entry("Health", "heartbeat", "health.show", Permission.PROCESSES_READ),
            Entry("Jobs", "loader", "job.list", Permission.JOBS_LIST),
            Entry("Audit log", "history", "audit.list", Permission.AUDIT_READ),
            Entry("Users and roles", "user-cog", "user.list", Permission.USERS_MANAGE),
            Entry("Settings", "settings", "setting.show", Permission.PROCESSES_READ),
        ),
    ),
)


def groups_for(user: User) -> list[Group]:
    """The groups with the entries this login may open."""
    shown = (Group(group.title, tuple(entry for entry in group.entries if _is_shown(entry, user))) for group in GROUPS)
    return [group for group in shown if group.entries]


def _is_shown(entry: Entry, user: User) -> bool:
    """What an account pays is shown to a reseller, and to a customer where its account lets its logins see it."""
    return user.may(entry.permission) and (entry.resource != "rate" or user.role == "reseller" or user.sees_rates)
