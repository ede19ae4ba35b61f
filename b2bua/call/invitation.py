"""What an INVITE to a place of an attempt says besides the session: who calls, and what we ask for."""

import time
from typing import TYPE_CHECKING

from b2bua.call.caller_identity import CallerIdentity, present
from b2bua.call.forwarding import HEADER as FORWARD_HEADER
from b2bua.call.reliable_ringing import offer_tags
from b2bua.call.session_timer import request_headers
from b2bua.call.transfer import REPLACES
from b2bua.policy.accounts import Account
from b2bua.policy.decision import Attempt, Contact
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request

if TYPE_CHECKING:
    from b2bua.call.driver import CallDriver


def shown_caller(
    driver: "CallDriver", attempt: Attempt, flow: Flow, request: Request | None, privacy: str
) -> CallerIdentity:
    """Who calls, as the attempt's gateway wants to see it.

    Args:
        driver: What all calls share.
        attempt: The attempt.
        flow: The way to the place.
        request: The caller's INVITE, for what the gateway has passed on; None: it is answered.
        privacy: The Privacy header that hides the caller's number; empty: it may be shown.
    """
    return present(
        attempt.source,
        driver.endpoint.sent_by(flow),
        privacy=privacy,
        rules=attempt.gateway.presentation,
        received=request.headers if request is not None else None,
    )


def asked_for(
    driver: "CallDriver", account: Account | None, attempt: Attempt, place: Contact, *, has_offer: bool
) -> Headers:
    """Headers that ask for a route, a session timer and extensions, or show ourselves whose call it is.

    Args:
        driver: What all calls share.
        account: Whose call it is.
        attempt: The attempt.
        place: Where it goes.
        has_offer: Whether the INVITE has a session description.
    """
    extra = Headers()
    if place.path:
        extra["route"] = [", ".join(place.path)]
    gateway = attempt.gateway
    seconds = gateway.session_timer if attempt.carrier is not None else driver.session_timer
    if seconds and attempt.kind != "forward":
        for name, value in request_headers(seconds).items():
            extra[name] = [value]
    tags = offer_tags(gateway.reliable_ringing, has_offer=has_offer)
    if attempt.kind in ("user", "device"):
        tags["supported"] = REPLACES
    for name, tag in tags.items():
        extra[name] = [", ".join([*extra.get(name, ()), tag])]
    if attempt.kind == "forward":
        assert account is not None
        extra[FORWARD_HEADER] = [driver.signer.sign(account.id, attempt.destination, time.time())]
    return extra
