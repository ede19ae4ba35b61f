"""Session descriptions for tests."""


def description(
    address: str = "198.51.100.1", port: int = 49170, *, extra: str = "", media: str | None = None, session: str = ""
) -> bytes:
    """One with an audio line, more lines of it, or other media; more lines of the session."""
    family = "IP6" if ":" in address else "IP4"
    audio = f"m=audio {port} RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n{extra}"
    text = (
        f"v=0\no=alice 2890844526 1 IN {family} {address}\ns=-\nc=IN {family} {address}\nt=0 0\n{session}"
        f"{audio if media is None else media}"
    )
    return text.replace("\n", "\r\n").encode()
