"""What an engine is asked for, by what the two sides want."""

import pytest

from b2bua.call.media_options import add_digits, is_secure, protocol_towards
from b2bua.policy.media_wishes import AS_OFFERED, PASSED, MediaWishes
from media.ng import Options

PLAIN = b"v=0\r\nm=audio 5000 RTP/AVP 0\r\n"
SECURE = b"v=0\r\nm=audio 5000 RTP/SAVP 0\r\n"
ENCRYPTED = MediaWishes(srtp="required")


def test_only_what_can_be_decrypted_is_secure() -> None:
    assert is_secure(SECURE)
    assert is_secure(b"v=0\r\nm=audio 0 RTP/AVP 0\r\nm=video 5000 RTP/SAVPF 96\r\n")
    for body in (PLAIN, b"", b"m=audio 0 RTP/SAVP 0\r\n", b"m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\n"):
        assert not is_secure(body)


@pytest.mark.parametrize(
    ("body", "wishes", "speaks_srtp", "tls", "protocol"),
    [
        (PLAIN, PASSED, None, False, ""),
        (SECURE, PASSED, None, True, "RTP/AVP"),
        (PLAIN, ENCRYPTED, None, False, "RTP/SAVP"),
        (SECURE, ENCRYPTED, None, False, ""),
        (PLAIN, AS_OFFERED, None, True, ""),
        (SECURE, AS_OFFERED, None, True, ""),
        (SECURE, AS_OFFERED, None, False, "RTP/AVP"),
        # Whoever has spoken is spoken to alike.
        (PLAIN, PASSED, True, False, "RTP/SAVP"),
        (SECURE, ENCRYPTED, False, True, "RTP/AVP"),
    ],
)
def test_protocol_is_that_of_the_one_who_gets_it(
    body: bytes, wishes: MediaWishes, speaks_srtp: bool | None, *, tls: bool, protocol: str
) -> None:
    found = protocol_towards(body, wishes, speaks_srtp=speaks_srtp, is_signalled_securely=tls)
    assert found == protocol


@pytest.mark.parametrize(
    ("speaker", "listener", "mask", "transcode", "takes"),
    [
        ("passed", "passed", False, False, False),
        ("passed", "info", True, False, True),
        ("info", "info", True, False, True),
        ("telephone-event", "info", True, False, True),
        ("passed", "telephone-event", False, True, False),
        ("info", "telephone-event", False, True, False),
        ("info", "passed", False, True, False),
        ("telephone-event", "passed", False, False, False),
    ],
)
def test_digits_are_listed_to_who_sends_or_wants_events(
    speaker: str, listener: str, *, mask: bool, transcode: bool, takes: bool
) -> None:
    options = Options()
    add_digits(options, MediaWishes(dtmf=speaker), MediaWishes(dtmf=listener))
    assert (bool(options.codec_mask), bool(options.codec_transcode), options.takes_events) == (mask, transcode, takes)
