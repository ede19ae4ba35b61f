"""Every address of the panel: its name, method, path, view and the permission that opens it.

Names are `<resource>.<action>`. A login without the permission gets 404. Lists end in `.list` and are paged.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from admin.permissions import Permission
from admin.views import (
    audit_log,
    bans,
    call_analysis,
    call_records,
    carrier_gateways,
    carrier_rules,
    carriers,
    customer_actions,
    customer_bulk,
    customer_form,
    customers,
    dids,
    explain,
    factor,
    find,
    gateway_states,
    imports,
    items,
    jobs,
    live_calls,
    logins,
    monitoring,
    overview,
    password,
    payments,
    profile,
    ratecards,
    rates,
    registrations,
    resellers,
    route_entries,
    routes,
    session,
    statements,
    switching,
    system,
    tariffs,
    theme,
    users,
)

View = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One address."""

    name: str
    method: str
    path: str
    view: View
    permission: Permission


ROUTES: Final = (
    Route("monitoring.health", "GET", "/healthz", monitoring.healthz, Permission.PUBLIC),
    Route("monitoring.metrics", "GET", "/metrics", monitoring.metrics, Permission.PUBLIC),
    Route("session.sign_in_form", "GET", "/sign-in", session.sign_in_form, Permission.PUBLIC),
    Route("session.sign_in", "POST", "/sign-in", session.sign_in, Permission.PUBLIC),
    Route("session.give_code", "POST", "/sign-in/code", session.give_code, Permission.PUBLIC),
    Route("session.sign_out", "POST", "/sign-out", session.sign_out, Permission.SIGNED_IN),
    Route("password.form", "GET", "/password", password.form, Permission.SIGNED_IN),
    Route("password.change", "POST", "/password", password.change, Permission.SIGNED_IN),
    Route("profile.show", "GET", "/my-login", profile.show, Permission.SIGNED_IN),
    Route("profile.change", "POST", "/my-login", profile.change, Permission.SIGNED_IN),
    Route("profile.end_session", "POST", "/my-login/sessions/{session}/end", profile.end_session, Permission.SIGNED_IN),
    Route("factor.show", "GET", "/second-factor", factor.show, Permission.SIGNED_IN),
    Route("factor.begin", "POST", "/second-factor", factor.begin, Permission.SIGNED_IN),
    Route("factor.confirm", "POST", "/second-factor/confirm", factor.confirm, Permission.SIGNED_IN),
    Route("factor.new_codes", "POST", "/second-factor/codes", factor.new_codes, Permission.SIGNED_IN),
    Route("factor.switch_off", "POST", "/second-factor/off", factor.switch_off, Permission.SIGNED_IN),
    Route("theme.set", "POST", "/theme", theme.choose, Permission.SIGNED_IN),
    Route("find.show", "GET", "/find", find.find, Permission.RECORDS_READ),
    Route("overview.show", "GET", "/", overview.show, Permission.OVERVIEW),
    Route("overview.stream", "GET", "/overview/stream", overview.stream, Permission.OVERVIEW),
    Route("call.list", "GET", "/live-calls", live_calls.show_list, Permission.CALLS_READ),
    Route("call.stream", "GET", "/live-calls/stream", live_calls.stream, Permission.CALLS_READ),
    Route("call.hang_up", "POST", "/live-calls/{call_id}/hang-up", live_calls.hang_up, Permission.CALLS_HANG_UP),
    Route("record.list", "GET", "/call-records", call_records.show_list, Permission.RECORDS_READ),
    Route("record.export", "GET", "/call-records/export", call_records.write_file, Permission.RECORDS_READ),
    Route("record.write", "POST", "/call-records/export", call_records.write_file, Permission.RECORDS_READ),
    Route(
        "record.detail", "GET", "/call-records/{call_id}/{attempt}", call_records.show_detail, Permission.RECORDS_READ
    ),
    Route("analysis.show", "GET", "/call-analysis", call_analysis.show, Permission.RECORDS_READ),
    Route("explain.show", "GET", "/explain", explain.show, Permission.CALLS_EXPLAIN),
    Route("registration.list", "GET", "/registrations", registrations.show_list, Permission.REGISTRATIONS_READ),
    Route(
        "registration.remove",
        "POST",
        "/registrations/{sip_user_id}/remove",
        registrations.remove,
        Permission.REGISTRATIONS_REMOVE,
    ),
    Route("gateway_state.list", "GET", "/gateway-states", gateway_states.show_list, Permission.GATEWAY_STATES_READ),
    Route("ban.list", "GET", "/bans", bans.show_list, Permission.BANS_READ),
    Route("ban.add", "POST", "/bans", bans.add, Permission.BANS_ADD),
    Route("ban.lift", "POST", "/bans/lift", bans.lift, Permission.BANS_LIFT),
    Route("job.list", "GET", "/jobs", jobs.show_list, Permission.JOBS_READ),
    Route("job.show", "GET", "/jobs/{job}", jobs.show, Permission.JOBS_READ),
    Route("job.cancel", "POST", "/jobs/{job}/cancel", jobs.cancel, Permission.JOBS_READ),
    Route("job.file", "GET", "/jobs/{job}/file", jobs.send_file, Permission.JOBS_READ),
    Route("rate_import.again", "POST", "/jobs/{job}/again", imports.look_again, Permission.TARIFFS_WRITE),
    Route("rate_import.begin", "POST", "/jobs/{job}/import", imports.begin, Permission.TARIFFS_WRITE),
    Route("rate_import.undo", "POST", "/jobs/{job}/undo", imports.undo, Permission.TARIFFS_WRITE),
    Route("audit.list", "GET", "/audit-log", audit_log.show_list, Permission.AUDIT_READ),
    Route("audit.export", "GET", "/audit-log/export", audit_log.write_file, Permission.AUDIT_READ),
    Route("audit.write", "POST", "/audit-log/export", audit_log.write_file, Permission.AUDIT_READ),
    Route("user.list", "GET", "/users", users.show_list, Permission.USERS_MANAGE),
    Route("user.roles", "GET", "/roles", users.show_roles, Permission.USERS_MANAGE),
    Route("user.new", "GET", "/users/new-user", users.new_form, Permission.USERS_MANAGE),
    Route("user.add", "POST", "/users/new-user", users.add, Permission.USERS_MANAGE),
    *(
        Route(name, method, f"/users/{{login}}{path}", view, Permission.USERS_MANAGE)
        for name, method, path, view in (
            ("user.details", "GET", "", users.details),
            ("user.change", "POST", "", users.change),
            ("user.set_status", "POST", "/status", users.set_status),
            ("user.reset_password", "POST", "/password", users.reset_password),
            ("user.end_sessions", "POST", "/sessions", users.end_sessions),
            ("user.reset_factor", "POST", "/second-factor", users.reset_factor),
            ("user.remove", "POST", "/remove", users.remove),
        )
    ),
    Route("health.show", "GET", "/health", system.show_health, Permission.PROCESSES_READ),
    Route("setting.show", "GET", "/settings", system.show_settings, Permission.PROCESSES_READ),
    Route("switch.end", "POST", "/switch-back", switching.end, Permission.SIGNED_IN),
    Route("statement.own", "GET", "/statement", statements.show_own, Permission.OWN_ACCOUNT),
    Route("rate.own", "GET", "/rates", rates.show_own, Permission.OWN_ACCOUNT),
    Route("customer.list", "GET", "/customers", customers.show_list, Permission.CUSTOMERS_READ),
    Route("customer.export", "GET", "/customers/export", customers.write_file, Permission.CUSTOMERS_READ),
    Route("customer.write", "POST", "/customers/export-all", customers.write_file, Permission.CUSTOMERS_READ),
    Route("customer.export_chosen", "POST", "/customers/export", customers.write_chosen, Permission.CUSTOMERS_READ),
    Route("customer.change_chosen", "POST", "/customers/selected", customer_bulk.change, Permission.CUSTOMERS_WRITE),
    Route("customer.undo", "POST", "/customers/undo", customer_bulk.undo, Permission.CUSTOMERS_WRITE),
    Route("customer.columns", "POST", "/customers/columns", customers.choose_columns, Permission.CUSTOMERS_READ),
    Route("customer.new", "GET", "/customers/new", customer_form.new_form, Permission.CUSTOMERS_WRITE),
    Route("customer.add", "POST", "/customers/new", customer_form.add, Permission.CUSTOMERS_WRITE),
    Route("reseller.list", "GET", "/resellers", resellers.show_list, Permission.RESELLERS_READ),
    Route("reseller.new", "GET", "/resellers/new", resellers.new_form, Permission.RESELLERS_WRITE),
    Route("reseller.add", "POST", "/resellers/new", resellers.add, Permission.RESELLERS_WRITE),
    *(
        Route(name, method, f"/resellers/{{code}}{path}", view, permission)
        for name, method, path, view, permission in (
            ("reseller.details", "GET", "", resellers.details, Permission.RESELLERS_READ),
            ("reseller.change", "POST", "", resellers.change, Permission.RESELLERS_WRITE),
            ("reseller.set_status", "POST", "/status", customer_actions.set_status, Permission.RESELLERS_WRITE),
            ("reseller.delete_form", "GET", "/delete", customer_actions.delete_form, Permission.RESELLERS_WRITE),
            ("reseller.delete", "POST", "/delete", customer_actions.delete, Permission.RESELLERS_WRITE),
        )
    ),
    *(
        Route(f"{prefix}{name}", method, f"{base}/{{code}}{path}", view, permission)
        for prefix, base in (("", "/customers"), ("reseller_", "/resellers"))
        for name, method, path, view, permission in (
            ("account_rate.list", "GET", "/rates", rates.show_of_account, Permission.MONEY_READ),
            ("payment.list", "GET", "/payments", payments.show_list, Permission.MONEY_READ),
            ("payment.add", "POST", "/payments", payments.add, Permission.PAYMENTS_WRITE),
            ("payment.reverse", "POST", "/payments/{entry}/reverse", payments.reverse, Permission.PAYMENTS_WRITE),
            ("statement.list", "GET", "/statement", statements.show_list, Permission.MONEY_READ),
            ("statement.export", "GET", "/statement/export", statements.write_file, Permission.MONEY_READ),
            ("switch.begin", "POST", "/switch", switching.begin, Permission.LOGINS_SWITCH),
            ("account_call.hang_up", "POST", "/hang-up", live_calls.hang_up_all, Permission.CALLS_HANG_UP),
            ("login.list", "GET", "/logins", logins.show_list, Permission.LOGINS_MANAGE),
            ("login.add", "POST", "/logins", logins.add, Permission.LOGINS_MANAGE),
            ("login.set_status", "POST", "/logins/{login}/status", logins.set_status, Permission.LOGINS_MANAGE),
            (
                "login.reset_password",
                "POST",
                "/logins/{login}/password",
                logins.reset_password,
                Permission.LOGINS_MANAGE,
            ),
            ("login.end_sessions", "POST", "/logins/{login}/sessions", logins.end_sessions, Permission.LOGINS_MANAGE),
            (
                "login.reset_factor",
                "POST",
                "/logins/{login}/second-factor",
                logins.reset_factor,
                Permission.LOGINS_MANAGE,
            ),
            ("login.remove", "POST", "/logins/{login}/remove", logins.remove, Permission.LOGINS_MANAGE),
        )
    ),
    Route("carrier.list", "GET", "/carriers", carriers.show_list, Permission.CARRIERS_MANAGE),
    Route("carrier.new_form", "GET", "/carriers/new", carriers.new_form, Permission.CARRIERS_MANAGE),
    Route("carrier.add", "POST", "/carriers/new", carriers.add, Permission.CARRIERS_MANAGE),
    *(
        Route(name, method, f"/carriers/{{carrier}}{path}", view, Permission.CARRIERS_MANAGE)
        for name, method, path, view in (
            ("carrier.details", "GET", "", carriers.details),
            ("carrier.change", "POST", "", carriers.change),
            ("carrier.set_status", "POST", "/status", carriers.set_status),
            ("carrier.delete_form", "GET", "/delete", carriers.delete_form),
            ("carrier.delete", "POST", "/delete", carriers.delete),
            ("carrier_gateway.list", "GET", "/gateways", carrier_gateways.show_list),
            ("carrier_gateway.new_form", "GET", "/gateways/new", carrier_gateways.new_form),
            ("carrier_gateway.add", "POST", "/gateways/new", carrier_gateways.add),
            ("carrier_gateway.details", "GET", "/gateways/{gateway}", carrier_gateways.details),
            ("carrier_gateway.change", "POST", "/gateways/{gateway}", carrier_gateways.change),
            ("carrier_gateway.set_status", "POST", "/gateways/{gateway}/status", carrier_gateways.set_status),
            ("carrier_gateway.remove", "POST", "/gateways/{gateway}/remove", carrier_gateways.remove),
            ("carrier_rule.list", "GET", "/{tab}", carrier_rules.show_list),
            ("carrier_rule.add", "POST", "/{tab}", carrier_rules.add),
            ("carrier_rule.trial", "GET", "/{tab}/try", carrier_rules.try_rules),
            ("carrier_rule.edit", "GET", "/{tab}/{rule}", carrier_rules.edit_form),
            ("carrier_rule.change", "POST", "/{tab}/{rule}", carrier_rules.change),
            ("carrier_rule.remove", "POST", "/{tab}/{rule}/remove", carrier_rules.remove),
        )
    ),
    Route("did.list", "GET", "/dids", dids.show_list, Permission.DIDS_READ),
    Route("did.new_form", "GET", "/dids/new", dids.new_form, Permission.DIDS_MANAGE),
    Route("did.add", "POST", "/dids/new", dids.add, Permission.DIDS_MANAGE),
    Route("did.change_many", "POST", "/dids/many", dids.change_many, Permission.DIDS_ASSIGN),
    Route("did.details", "GET", "/dids/{number}", dids.details, Permission.DIDS_READ),
    Route("did.change", "POST", "/dids/{number}", dids.change, Permission.DIDS_ASSIGN),
    Route("did.lead", "POST", "/dids/{number}/destinations", dids.lead, Permission.DIDS_ROUTE),
    Route("did.remove", "POST", "/dids/{number}/remove", dids.remove, Permission.DIDS_MANAGE),
    Route("route.list", "GET", "/routes", routes.show_list, Permission.ROUTES_MANAGE),
    Route("route.new_form", "GET", "/routes/new", routes.new_form, Permission.ROUTES_MANAGE),
    Route("route.add", "POST", "/routes/new", routes.add, Permission.ROUTES_MANAGE),
    *(
        Route(name, method, f"/routes/{{route}}{path}", view, Permission.ROUTES_MANAGE)
        for name, method, path, view in (
            ("route.details", "GET", "", routes.details),
            ("route.change", "POST", "", routes.change),
            ("route.set_status", "POST", "/status", routes.set_status),
            ("route.delete_form", "GET", "/delete", routes.delete_form),
            ("route.delete", "POST", "/delete", routes.delete),
            ("route_entry.list", "GET", "/entries", route_entries.show_list),
            ("route_entry.add", "POST", "/entries", route_entries.add),
            ("route_entry.trial", "GET", "/entries/try", route_entries.try_number),
            ("route_entry.edit", "GET", "/entries/{entry}", route_entries.edit_form),
            ("route_entry.change", "POST", "/entries/{entry}", route_entries.change),
            ("route_entry.remove", "POST", "/entries/{entry}/remove", route_entries.remove),
        )
    ),
    *(
        Route(name, method, f"/customers/{{code}}{path}", view, permission)
        for name, method, path, view, permission in (
            ("customer.details", "GET", "", customer_form.details, Permission.CUSTOMERS_READ),
            ("customer.change", "POST", "", customer_form.change, Permission.CUSTOMERS_WRITE),
            ("customer.set_status", "POST", "/status", customer_actions.set_status, Permission.CUSTOMERS_WRITE),
            ("customer.delete_form", "GET", "/delete", customer_actions.delete_form, Permission.CUSTOMERS_WRITE),
            ("customer.delete", "POST", "/delete", customer_actions.delete, Permission.CUSTOMERS_WRITE),
            ("item.list", "GET", "/{tab}", items.show_list, Permission.CONFIGURATION_READ),
            ("item.add", "POST", "/{tab}", items.add, Permission.CONFIGURATION_WRITE),
            ("item.trial", "GET", "/{tab}/try", items.try_rules, Permission.CONFIGURATION_READ),
            ("item.edit", "GET", "/{tab}/{item}", items.edit_form, Permission.CONFIGURATION_WRITE),
            ("item.change", "POST", "/{tab}/{item}", items.change, Permission.CONFIGURATION_WRITE),
            ("item.remove", "POST", "/{tab}/{item}/remove", items.remove, Permission.CONFIGURATION_WRITE),
            ("item.new_secret", "POST", "/{tab}/{item}/secret", items.new_secret, Permission.CONFIGURATION_WRITE),
        )
    ),
    Route("tariff.list", "GET", "/tariffs", tariffs.show_list, Permission.TARIFFS_READ),
    Route("tariff.add", "POST", "/tariffs", tariffs.add, Permission.TARIFFS_WRITE),
    *(
        Route(name, method, f"/tariffs/{{tariff}}{path}", view, permission)
        for name, method, path, view, permission in (
            ("tariff.details", "GET", "", tariffs.details, Permission.TARIFFS_READ),
            ("tariff.change", "POST", "", tariffs.change, Permission.TARIFFS_WRITE),
            ("tariff.remove", "POST", "/remove", tariffs.remove, Permission.TARIFFS_WRITE),
            ("tariff.map", "POST", "/ratecards", tariffs.map_ratecard, Permission.TARIFFS_WRITE),
            ("tariff.edit_map", "GET", "/ratecards/{entry}", tariffs.edit_mapping, Permission.TARIFFS_WRITE),
            ("tariff.change_map", "POST", "/ratecards/{entry}", tariffs.change_mapping, Permission.TARIFFS_WRITE),
            ("tariff.unmap", "POST", "/ratecards/{entry}/remove", tariffs.unmap_ratecard, Permission.TARIFFS_WRITE),
        )
    ),
    Route("ratecard.list", "GET", "/ratecards", ratecards.show_list, Permission.TARIFFS_READ),
    Route("ratecard.add", "POST", "/ratecards", ratecards.add, Permission.TARIFFS_WRITE),
    *(
        Route(name, method, f"/ratecards/{{ratecard}}{path}", view, permission)
        for name, method, path, view, permission in (
            ("rate.list", "GET", "", rates.show_list, Permission.TARIFFS_READ),
            ("rate.add", "POST", "", rates.add, Permission.TARIFFS_WRITE),
            ("ratecard.details", "GET", "/details", ratecards.details, Permission.TARIFFS_READ),
            ("ratecard.change", "POST", "/details", ratecards.change, Permission.TARIFFS_WRITE),
            ("ratecard.remove", "POST", "/remove", ratecards.remove, Permission.TARIFFS_WRITE),
            ("rate.export", "POST", "/export", imports.write_file, Permission.TARIFFS_READ),
            ("rate_import.new", "GET", "/import", imports.new_form, Permission.TARIFFS_WRITE),
            ("rate_import.add", "POST", "/import", imports.add, Permission.TARIFFS_WRITE),
            ("rate.edit", "GET", "/rates/{rate}", rates.edit_form, Permission.TARIFFS_WRITE),
            ("rate.change", "POST", "/rates/{rate}", rates.change, Permission.TARIFFS_WRITE),
            ("rate.remove", "POST", "/rates/{rate}/remove", rates.remove, Permission.TARIFFS_WRITE),
        )
    ),
)

PERMISSIONS: Final = {route.name: route.permission for route in ROUTES}
"""By route name. An address that is not here is none."""


def add_routes(app: web.Application) -> None:
    """Put the table into the router."""
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.view, name=route.name)  # answers HEAD too
        else:
            app.router.add_route(route.method, route.path, route.view, name=route.name)
