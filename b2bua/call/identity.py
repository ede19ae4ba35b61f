"""Identifiers of calls: UUIDv7 (RFC 9562 §5.7), so that they sort by time."""

from b2bua.transport.endpoint import new_token


def new_call_id(now: float) -> str:
    """A UUIDv7 for a moment in seconds since 1970."""
    time = f"{int(now * 1000):012x}"
    random = new_token() + new_token()
    variant = "89ab"[int(random[3], 16) & 3]
    return f"{time[:8]}-{time[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"
