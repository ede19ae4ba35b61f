"""Who changed what: one log line for each act."""

import structlog
from aiohttp import web

from admin.keys import REQUEST_ID, USER

log = structlog.get_logger("audit")


def record(request: web.Request, action: str, **details: object) -> None:
    """Log an act of the signed-in login with what it was done to."""
    user = request.get(USER)
    facts = {
        **details,
        "audit": True,
        "login": user.login if user else None,
        "role": user.role if user else None,
        "address": request.remote,
        "request_id": request.get(REQUEST_ID),
    }
    log.info(action, **facts)
