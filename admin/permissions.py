"""Who may do what: the permissions, and which of them each role has."""

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route or a part of a page asks for."""

    PUBLIC = "public"
    """No sign-in."""
    SIGNED_IN = "signed_in"
    """Any login, also one that has to change its password first."""
    OVERVIEW = "overview"
    CUSTOMERS_READ = "customers.read"
    CUSTOMERS_WRITE = "customers.write"
    """Make, change, suspend and delete customers."""
    RESELLERS_READ = "resellers.read"
    RESELLERS_WRITE = "resellers.write"
    """Make and change resellers, and permit them routes."""
    CONFIGURATION_READ = "configuration.read"
    """Devices, dialing routes and number rules of customers; a customer sees those that its account lets it change."""
    CONFIGURATION_WRITE = "configuration.write"
    DIDS_READ = "dids.read"
    DIDS_ROUTE = "dids.route"
    """Say where calls to DIDs go; a customer where its account lets it change what its DIDs do."""
    DIDS_ASSIGN = "dids.assign"
    """Give DIDs to accounts in view, suspend them, bound their channels."""
    DIDS_MANAGE = "dids.manage"
    """Add and remove DIDs, and say which carrier brings their calls."""
    PAYMENTS_WRITE = "payments.write"
    OWN_ACCOUNT = "own_account"
    """Pages that a customer has of itself."""
    LOGINS_SWITCH = "logins.switch"
    """Work as a login of somebody below."""
    CALLS_READ = "calls.read"
    CALLS_HANG_UP = "calls.hang_up"
    RECORDS_READ = "records.read"
    CALLS_EXPLAIN = "calls.explain"
    """Ask what would become of a call of the accounts in view."""
    MONEY_READ = "money.read"
    """Balances, and what calls cost the accounts in view."""
    CARRIERS_READ = "carriers.read"
    """Names, addresses and messages of the carrier's side."""
    CARRIERS_MANAGE = "carriers.manage"
    """Make, change, suspend and delete carriers and their gateways."""
    CARRIER_COST_READ = "carrier_cost.read"
    TARIFFS_READ = "tariffs.read"
    """Tariffs and ratecards: staff all, carriers' costs too, a reseller its own."""
    TARIFFS_WRITE = "tariffs.write"
    JOBS_READ = "jobs.read"
    """Long jobs that the login began, and imports into the ratecards that it sees."""
    JOBS_LIST = "jobs.list"
    """Has their list in the navigation."""
    REGISTRATIONS_READ = "registrations.read"
    REGISTRATIONS_REMOVE = "registrations.remove"
    ROUTES_MANAGE = "routes.manage"
    """Make, change, suspend and delete routes and their entries."""
    SYSTEM_READ = "system.read"
    """Health of the switch itself."""
    GATEWAY_STATES_READ = "gateway_states.read"
    """Which gateways are down, where they are, and whether we are registered there."""
    BANS_READ = "bans.read"
    """Sources that get no answer."""
    BANS_ADD = "bans.add"
    BANS_LIFT = "bans.lift"
    PROCESSES_READ = "processes.read"
    """Every process and setting of the switch."""
    AUDIT_READ = "audit.read"
    """Who changed what about the accounts in view."""


STAFF: Final = frozenset({"administrator", "support", "accounts"})
"""Roles of the operator; they see all accounts."""

_EVERYBODY: Final = frozenset(
    {
        Permission.PUBLIC,
        Permission.SIGNED_IN,
        Permission.OVERVIEW,
        Permission.CALLS_READ,
        Permission.RECORDS_READ,
        Permission.JOBS_READ,
    }
)

_DIDS: Final = frozenset({Permission.DIDS_READ, Permission.DIDS_ROUTE, Permission.DIDS_ASSIGN})

_REGISTRATIONS: Final = frozenset({Permission.REGISTRATIONS_READ, Permission.REGISTRATIONS_REMOVE})

ROLE_PERMISSIONS: Final[dict[str, frozenset[Permission]]] = {
    "administrator": frozenset(Permission) - {Permission.OWN_ACCOUNT},
    "support": _EVERYBODY
    | _DIDS
    | _REGISTRATIONS
    | {
        Permission.CUSTOMERS_READ,
        Permission.CONFIGURATION_READ,
        Permission.CONFIGURATION_WRITE,
        Permission.CALLS_HANG_UP,
        Permission.CALLS_EXPLAIN,
        Permission.CARRIERS_READ,
        Permission.SYSTEM_READ,
        Permission.GATEWAY_STATES_READ,
        Permission.BANS_READ,
        Permission.BANS_LIFT,
        Permission.AUDIT_READ,
    },
    "accounts": _EVERYBODY
    | {
        Permission.CUSTOMERS_READ,
        Permission.RESELLERS_READ,
        Permission.CONFIGURATION_READ,
        Permission.MONEY_READ,
        Permission.PAYMENTS_WRITE,
        Permission.CARRIERS_READ,
        Permission.CARRIER_COST_READ,
        Permission.TARIFFS_READ,
        Permission.JOBS_LIST,
        Permission.SYSTEM_READ,
    },
    "reseller": _EVERYBODY
    | _DIDS
    | _REGISTRATIONS
    | {
        Permission.CUSTOMERS_READ,
        Permission.CUSTOMERS_WRITE,
        Permission.RESELLERS_READ,
        Permission.RESELLERS_WRITE,
        Permission.CONFIGURATION_READ,
        Permission.CONFIGURATION_WRITE,
        Permission.PAYMENTS_WRITE,
        Permission.TARIFFS_READ,
        Permission.TARIFFS_WRITE,
        Permission.LOGINS_SWITCH,
        Permission.CALLS_HANG_UP,
        Permission.CALLS_EXPLAIN,
        Permission.MONEY_READ,
        Permission.AUDIT_READ,
    },
    "customer": _EVERYBODY
    | {
        Permission.MONEY_READ,
        Permission.OWN_ACCOUNT,
        Permission.DIDS_READ,
        Permission.DIDS_ROUTE,
        Permission.CONFIGURATION_READ,
        Permission.CONFIGURATION_WRITE,
    },
}
"""Permissions of each role; a role that is not here has none."""


def has_permission(role: str, permission: Permission) -> bool:
    """Whether logins of this role have the permission."""
    return permission in ROLE_PERMISSIONS.get(role, frozenset())
