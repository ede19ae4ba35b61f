"""Tokens against forged requests: every method but GET and HEAD must carry one.

The token belongs to a cookie: the session's, or before sign-in that of a visit. It is masked anew in each answer, since
answers are compressed (BREACH), and travels in a hidden field of plain forms or in the header that app.js sets.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

from aiohttp import BodyPartReader, web

from admin.keys import SETTINGS, UPLOAD, USER, VISIT
from admin.session import cookie_name

FIELD: Final = "csrf_token"
HEADER: Final = "X-CSRF-Token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
SECRET_SIZE: Final = 32
STREAMED: Final = frozenset({"rate_import.add"})
"""Routes of forms with a file that is too large to be held: the token comes first, and the view reads the rest."""


def visit_cookie_name(secure: bool) -> str:
    """Name of the cookie of a visitor who is not signed in."""
    return "__Host-sw_visit" if secure else "sw_visit"


def secret_of(cookie: str) -> bytes:
    """The secret that belongs to a cookie's value."""
    return hashlib.sha256(b"csrf:" + cookie.encode()).digest()


def mask(secret: bytes) -> str:
    """Write a secret so that no two answers hold the same text."""
    pad = secrets.token_bytes(SECRET_SIZE)
    return base64.urlsafe_b64encode(pad + _exclusive_or(pad, secret)).decode()


def unmask(token: str) -> bytes | None:
    """Read a masked secret; None if it is none."""
    try:
        data = base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError):
        return None
    return _exclusive_or(data[:SECRET_SIZE], data[SECRET_SIZE:]) if len(data) == 2 * SECRET_SIZE else None


def _exclusive_or(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def token_for(request: web.Request) -> str:
    """A fresh token for a page; gives a visitor the cookie that it belongs to."""
    secure = request.app[SETTINGS].panel.secure_cookie
    cookie = request.cookies.get(cookie_name(secure)) if USER in request else None
    cookie = cookie or request.get(VISIT) or request.cookies.get(visit_cookie_name(secure))
    if not cookie:
        cookie = request[VISIT] = secrets.token_urlsafe(32)
    return mask(secret_of(cookie))


async def _token_before_file(request: web.Request) -> str:
    reader = request[UPLOAD] = await request.multipart()
    part = await reader.next()
    if not isinstance(part, BodyPartReader) or part.name != FIELD:
        return ""
    return (await part.read_chunk(1024)).decode("ascii", "replace")


async def is_genuine(request: web.Request) -> bool:
    """Whether a request that changes something carries the token of one of its cookies."""
    token = request.headers.get(HEADER)
    if token is None and request.content_type == "multipart/form-data" and request.match_info.route.name in STREAMED:
        token = await _token_before_file(request)
    if token is None:
        value = (await request.post()).get(FIELD)
        token = value if isinstance(value, str) else ""
    given = unmask(token)
    if given is None:
        return False
    secure = request.app[SETTINGS].panel.secure_cookie
    cookies = (request.cookies.get(name) for name in (cookie_name(secure), visit_cookie_name(secure)))
    return any(hmac.compare_digest(given, secret_of(cookie)) for cookie in cookies if cookie)
