"""Session descriptions as far as bypassed media needs them (RFC 8866): whose session it is, and its codecs.

Bodies stay bytes; only the lines that matter are looked at.
"""

from typing import Final

STATIC_PAYLOADS: Final = {
    "0": "PCMU", "3": "GSM", "4": "G723", "5": "DVI4", "7": "LPC", "8": "PCMA", "9": "G722", "10": "L16", "11": "L16",
    "12": "QCELP", "13": "CN", "14": "MPA", "15": "G728", "18": "G729", "26": "JPEG", "31": "H261", "34": "H263",
}  # fmt: skip
"""RFC 3551 table 4: payload types that need no rtpmap."""

NOT_SPEECH: Final = frozenset({"telephone-event", "cn"})
"""In lower case, which an encoding name may be in or not."""


def replace_origin(body: bytes, session_id: int, address: str) -> bytes:
    """Put our own origin line in place of the endpoint's; the version stays, so that changes show."""
    start = 0 if body.startswith(b"o=") else body.find(b"\no=") + 1
    if start == 0 and not body.startswith(b"o="):
        return body
    end = body.find(b"\n", start)
    if end < 0:
        return body
    parts = body[start:end].split()
    version = parts[2] if len(parts) > 2 and parts[2].isdigit() else b"1"
    family = b"IP6" if ":" in address else b"IP4"
    origin = b"o=- %d %b IN %b %b\r" % (session_id, version, family, address.encode())
    return body[:start] + origin + body[end:]


def audio_codecs(body: bytes) -> list[str]:
    """Names of the codecs of the first audio line in their order, without telephone-event and comfort noise."""
    text = body.decode("utf-8", "replace")
    position = 0 if text.startswith("m=audio ") else text.find("\nm=audio ") + 1
    if not text.startswith("m=audio ", position):
        return []
    names: dict[str, str] = {}
    lines = text[position:].split("\n")
    for line in lines[1:]:
        if line.startswith("a=rtpmap:"):
            payload, _, encoding = line[9:].partition(" ")
            names[payload] = encoding.partition("/")[0].strip()
        elif line.startswith("m="):
            break
    codecs = []
    for payload in lines[0].split()[3:]:
        name = names.get(payload) or STATIC_PAYLOADS.get(payload, payload)
        if name.lower() not in NOT_SPEECH:
            codecs.append(name)
    return codecs
