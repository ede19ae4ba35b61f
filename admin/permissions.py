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
    """Pages that a customer or reseller has of itself."""
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
    USERS_MANAGE = "users.manage"
    """Every login of the panel, those of the operator among them."""
    LOGINS_MANAGE = "logins.manage"
    """The logins of customers and resellers in view."""
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
        Permission.OWN_ACCOUNT,
        Permission.LOGINS_MANAGE,
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


SECTIONS: Final[dict[str, dict[Permission, str]]] = {
    "Calls": {
        Permission.OVERVIEW: "See the overview",
        Permission.CALLS_READ: "See live calls",
        Permission.CALLS_HANG_UP: "Hang up calls",
        Permission.RECORDS_READ: "See call records and call analysis",
        Permission.CALLS_EXPLAIN: "Explain a call",
    },
    "Accounts": {
        Permission.CUSTOMERS_READ: "See customers",
        Permission.CUSTOMERS_WRITE: "Add, change, suspend and delete customers",
        Permission.RESELLERS_READ: "See resellers",
        Permission.RESELLERS_WRITE: "Add, change, suspend and delete resellers",
        Permission.CONFIGURATION_READ: "See devices, dialing routes and number rules",
        Permission.CONFIGURATION_WRITE: "Change devices, dialing routes and number rules",
        Permission.LOGINS_MANAGE: "Add, lock, reset and remove logins of accounts",
        Permission.LOGINS_SWITCH: "Work as a login of an account",
        Permission.OWN_ACCOUNT: "See the own account",
        Permission.DIDS_READ: "See DID numbers",
        Permission.DIDS_ROUTE: "Change where DID numbers lead",
        Permission.DIDS_ASSIGN: "Give DID numbers to accounts",
        Permission.DIDS_MANAGE: "Add and remove DID numbers",
    },
    "Money": {
        Permission.MONEY_READ: "See balances, prices and statements",
        Permission.PAYMENTS_WRITE: "Book payments and credit",
        Permission.CARRIER_COST_READ: "See what carriers cost",
    },
    "Network": {
        Permission.CARRIERS_READ: "See names and addresses of carriers",
        Permission.CARRIERS_MANAGE: "Add, change and remove carriers and gateways",
        Permission.TARIFFS_READ: "See tariffs, ratecards and rates",
        Permission.TARIFFS_WRITE: "Change and import them",
        Permission.ROUTES_MANAGE: "Add, change and remove routes",
    },
    "System": {
        Permission.GATEWAY_STATES_READ: "See the states of gateways",
        Permission.REGISTRATIONS_READ: "See registrations",
        Permission.REGISTRATIONS_REMOVE: "Remove registrations",
        Permission.BANS_READ: "See bans",
        Permission.BANS_ADD: "Ban sources",
        Permission.BANS_LIFT: "Lift bans",
        Permission.JOBS_READ: "See their own imports and exports",
        Permission.JOBS_LIST: "Have the list of jobs in the navigation",
        Permission.SYSTEM_READ: "See the health of the switch on the overview",
        Permission.PROCESSES_READ: "See processes, health and settings",
        Permission.USERS_MANAGE: "Manage users and roles",
        Permission.AUDIT_READ: "See the audit log",
    },
}
"""What each permission lets somebody do, in words. Every login may sign in and change what is its own."""


def has_permission(role: str, permission: Permission) -> bool:
    """Whether logins of this role have the permission."""
    return permission in ROLE_PERMISSIONS.get(role, frozenset())
