"""Messages of rtpengine's `ng` control protocol: a cookie, a space, and a dictionary in bencode or JSON.

The cookie matches answers to requests and marks repeated requests. A request names its `command`, an answer has a
`result`: `ok`, `pong`, or `error` with `error-reason`. Requests here are

    ping
    offer    call-id, from-tag, sdp, options              -> sdp
    answer   call-id, from-tag, to-tag, sdp, options      -> sdp
    delete   call-id, from-tag, to-tag                    -> statistics, as query
    query    call-id                                      -> created, "last signal", tags, totals
    list     limit                                        -> calls: [call-id, …]
    block DTMF, unblock DTMF   call-id, from-tag          telephone-events of that side do not pass
    play DTMF                  call-id, from-tag, code, duration, volume
                                                          a digit (RFC 4733) as if that side had pressed it
    statistics                                            -> statistics: {calls, ports, kernel streams, path}

and, of our own engine alone, which rtpengine answers with an error:

    timeouts                                              -> calls: [call-id, …] that fell silent; deleted by the client

An error of our own engine has a `sip-status` besides: what the switch should answer with. By itself it sends

    DTMF     call-id, from-tag, code, duration, number    a side has pressed a digit, whose events are taken out

to whoever has pinged it lately, three times, since nobody answers; the number tells which are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final

import orjson

from media import bencode

Message = dict[str, Any]

SIZE_LIMIT: Final = 65_507
"""Most bytes of a message: what a datagram holds."""

COOKIE_LIMIT: Final = 128


class MalformedMessage(ValueError):
    """A datagram is not a message of this protocol.

    Args:
        reason: What is wrong with it.
        cookie: That of the datagram, where it has one.
    """

    def __init__(self, reason: str, cookie: bytes = b"") -> None:
        super().__init__(reason)
        self.cookie = cookie


class Form(StrEnum):
    """How a dictionary is written."""

    BENCODE = "bencode"
    JSON = "json"


def pack(cookie: bytes, message: Mapping[str, Any], form: Form = Form.BENCODE) -> bytes:
    """Write a message."""
    if form is Form.JSON:
        return cookie + b" " + orjson.dumps(message, default=_to_json)
    return cookie + b" " + bencode.encode(message)


def unpack(datagram: bytes) -> tuple[bytes, Message, Form]:
    """Read a message: its cookie, its dictionary, and how that was written.

    Raises:
        MalformedMessage: it is none.
    """
    cookie, space, body = datagram.partition(b" ")
    if not space or not cookie or len(cookie) > COOKIE_LIMIT:
        raise MalformedMessage("no cookie")
    try:
        form = Form.JSON if body.startswith(b"{") else Form.BENCODE
        message = orjson.loads(body) if form is Form.JSON else bencode.decode(body)
    except ValueError as error:
        raise MalformedMessage(f"no dictionary: {error}", cookie) from error
    if not isinstance(message, dict):
        raise MalformedMessage("no dictionary", cookie)
    return cookie, message, form


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError


class Source(StrEnum):
    """What packets a side of a call may send from."""

    STRICT = "strict"
    """Only the address and port of its session description."""

    LEARN = "learn"
    """Where its packets come from, also when that changes."""

    LEARN_ONCE = "learn-once"
    """Where its first packets come from."""


_SOURCE_FLAGS: Final = {
    Source.STRICT: ("asymmetric", "strict source"),
    Source.LEARN: ("media handover",),
    Source.LEARN_ONCE: ("strict source",),
}


@dataclass(slots=True)
class Options:
    """What an offer or an answer asks for besides; the names on the wire are rtpengine's."""

    ice: str = "remove"
    """What becomes of ICE; our engine removes it always."""

    replace: tuple[str, ...] = ("origin", "session-connection")
    """Lines in which our address takes the place of the endpoint's."""

    direction: tuple[str, ...] = ()
    """Names of the interfaces towards the sender and the receiver of an offer; none: chosen by address."""

    address_family: str = ""
    """`IP4` or `IP6`: what the receiver is shown; empty: as the sender's."""

    media_address: str = ""
    """Address that the receiver is shown instead of the interface's; empty: that one."""

    received_from: str = ""
    """Address that the request came from."""

    source: Source | None = None
    """Where the sender's packets may come from; None: as the engine is set."""

    rtcp_mux: tuple[str, ...] = ()
    """`demux`: not offered on, but accepted; `reject`: neither; none: as the ends agree."""

    transport_protocol: str = ""
    """Protocol that the receiver is shown; empty: as the sender's."""

    codec_strip: tuple[str, ...] = ()
    """Codecs that are taken out; `all`: all but those offered."""

    codec_offer: tuple[str, ...] = ()
    """Codecs that stay although all are stripped; with `reorder` in this order."""

    codec_mask: tuple[str, ...] = ()
    """As strip; an engine that transcodes still takes them from the sender."""

    codec_except: tuple[str, ...] = ()
    """As offer, in the sender's order."""

    codec_transcode: tuple[str, ...] = ()
    """`telephone-event`: offered, or answered, though the sender does not; our engine knows no other."""

    takes_events: bool = False
    """Whether telephone-events of the sender are taken out (and told, by our engine)."""

    reorder: bool = False
    """Whether the codecs offered come first, in their order."""

    flags: tuple[str, ...] = field(default=())
    """Flags that are passed to the engine as they are."""

    def to_message(self) -> Message:
        """Return the keys of a request."""
        message: Message = {"ICE": self.ice} if self.ice else {}
        flags = [*self.flags, *(_SOURCE_FLAGS[self.source] if self.source else ()), "trust-address"]
        if self.reorder:
            flags.append("reorder codecs")
        message["flags"] = flags
        for key, name in _LISTS.items():
            if values := getattr(self, name):
                message[key] = list(values)
        for key, name in _TEXTS.items():
            if value := getattr(self, name):
                message[key] = value
        if self.takes_events:
            message["DTMF-security"] = "drop"
        if self.received_from:
            message["received from"] = ["IP6" if ":" in self.received_from else "IP4", self.received_from]
        codec = {key: list(values) for key, name in _CODECS.items() if (values := getattr(self, name))}
        if codec:
            message["codec"] = codec
        return message

    @classmethod
    def from_message(cls, message: Message) -> "Options":
        """Read the keys of a request; what is not known is passed over.

        Raises:
            MalformedMessage: a value is of the wrong kind.
        """
        # Spaces and hyphens in keys and flags mean the same.
        known = {key.replace("-", " "): value for key, value in message.items()}
        flags = [flag.replace("-", " ") for flag in _texts(known, "flags")]
        options = cls(ice=_text(known, "ICE"), flags=tuple(flags))
        for key, name in _LISTS.items():
            setattr(options, name, _texts(known, key.replace("-", " ")))
        for key, name in _TEXTS.items():
            setattr(options, name, _text(known, key))
        options.replace = tuple(each.replace(" ", "-") for each in options.replace)
        if options.media_address and not _is_address(options.media_address):
            raise MalformedMessage("media address is no IP address")
        options.received_from = (*_texts(known, "received from"), "", "")[1]
        options.source = _source_of(flags)
        options.reorder = "reorder codecs" in flags
        options.takes_events = _text(known, "DTMF security") == "drop"
        codec = known.get("codec", {})
        if not isinstance(codec, dict):
            raise MalformedMessage("codec is not a dictionary")
        for key, name in _CODECS.items():
            marked = tuple(each[len(key) + 7 :] for each in _texts(known, "flags") if each.startswith(f"codec-{key}-"))
            setattr(options, name, (*_texts(codec, key), *marked))
        return options


_LISTS: Final = {"replace": "replace", "direction": "direction", "rtcp-mux": "rtcp_mux"}
_TEXTS: Final = {
    "address family": "address_family",
    "media address": "media_address",
    "transport protocol": "transport_protocol",
}
_CODECS: Final = {
    "strip": "codec_strip",
    "offer": "codec_offer",
    "mask": "codec_mask",
    "except": "codec_except",
    "transcode": "codec_transcode",
}


def _source_of(flags: Sequence[str]) -> Source | None:
    if "asymmetric" in flags:
        return Source.STRICT
    if "media handover" in flags:
        return Source.LEARN
    return Source.LEARN_ONCE if "strict source" in flags else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _text(message: Mapping[str, Any], key: str) -> str:
    value = message.get(key, "")
    if not is_text(value):
        raise MalformedMessage(f"{key} is not a text")
    return str(value)


def is_text(value: object) -> bool:
    """Whether a value is a text that was UTF-8; only descriptions may be otherwise."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _texts(message: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = message.get(key, [])
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list) or not all(is_text(value) for value in values):
        raise MalformedMessage(f"{key} is not a list of texts")
    return tuple(values)


# Requests


def ping() -> Message:
    """Ask whether an engine is there."""
    return {"command": "ping"}


def offer(call_id: str, from_tag: str, sdp: bytes, options: Options) -> Message:
    """Announce the offer of a session, the first or a later one."""
    return {"command": "offer", "call-id": call_id, "from-tag": from_tag, "sdp": sdp, **options.to_message()}


def answer(call_id: str, from_tag: str, to_tag: str, sdp: bytes, options: Options) -> Message:
    """Announce its answer; `from_tag` is that of the offer."""
    tags = {"from-tag": from_tag, "to-tag": to_tag}
    return {"command": "answer", "call-id": call_id, **tags, "sdp": sdp, **options.to_message()}


def delete(call_id: str, from_tag: str = "", to_tag: str = "") -> Message:
    """End a session, at once."""
    message: Message = {"command": "delete", "call-id": call_id, "delete delay": 0}
    message |= {key: tag for key, tag in (("from-tag", from_tag), ("to-tag", to_tag)) if tag}
    return message


def query(call_id: str) -> Message:
    """Ask for the figures of a session."""
    return {"command": "query", "call-id": call_id}


def list_calls(limit: int) -> Message:
    """Ask for the sessions that are there."""
    return {"command": "list", "limit": limit}


def timeouts() -> Message:
    """Ask our own engine for the sessions that have fallen silent."""
    return {"command": "timeouts"}


def statistics() -> Message:
    """Ask for the figures of an engine; ours has calls, ports, `kernel streams`, and its `path` with the reason."""
    return {"command": "statistics"}


def block_dtmf(call_id: str, from_tag: str, *, blocked: bool) -> Message:
    """Keep the telephone-events of a side from the other, or let them through again."""
    return {"command": "block DTMF" if blocked else "unblock DTMF", "call-id": call_id, "from-tag": from_tag}


def play_dtmf(call_id: str, from_tag: str, digit: str, duration_ms: int) -> Message:
    """Let a side press a digit."""
    return {"command": "play DTMF", "call-id": call_id, "from-tag": from_tag, "code": digit, "duration": duration_ms}


def digit_heard(call_id: str, from_tag: str, digit: str, duration_ms: int, number: int) -> Message:
    """Tell that a side has pressed a digit."""
    told = {"command": "DTMF", "call-id": call_id, "from-tag": from_tag}
    return {**told, "code": digit, "duration": duration_ms, "number": number}


def error(reason: str, status: int = 0) -> Message:
    """The answer to a request that could not be done."""
    message: Message = {"result": "error", "error-reason": reason}
    return {**message, "sip-status": status} if status else message
