"""The form of a gateway: every field with its rule, named as its column."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import model_validator

from b2bua.account import field as f
from b2bua.account.device import DTMF, SRTP, STATUSES
from b2bua.routing import field as r

TRANSPORTS: Final = {name: name.upper() for name in ("udp", "tcp", "tls", "ws", "wss")}
TLS_VERIFY: Final = {"name": "Issuer and name", "chain": "Issuer", "none": "Nothing"}
RELIABLE_RINGING: Final = {"off": "Off", "supported": "Offered", "required": "Required"}
IDENTITIES: Final = {"none": "None", "pai": "P-Asserted-Identity", "rpid": "Remote-Party-ID"}
DIVERSIONS: Final = {"drop": "Dropped", "pass": "Goes along"}
SECRET_LENGTH: Final = 128


def _timer(label: str, least: int = 1) -> f.Read:
    return f.whole(label, least, r.DAY)


def _secret(typed: str) -> str:
    if len(typed) > SECRET_LENGTH or not typed.isprintable():
        raise f.Fault(f"Secret must have at most {SECRET_LENGTH} letters, digits and signs")
    return typed


class Gateway(f.Form):
    """What can be changed of a gateway."""

    host: Annotated[str, f.field(r.host("Address"))] = ""
    port: Annotated[int | None, f.field(r.port("Port"))] = None
    transport: Annotated[str, f.field(f.choice("Transport", TRANSPORTS))] = "udp"
    status: Annotated[str, f.field(f.choice("Status", STATUSES))] = "active"
    priority: Annotated[int, f.field(f.whole("Priority", 0))] = 1
    weight: Annotated[int, f.field(f.whole("Weight", 0))] = 100
    max_sessions: Annotated[int | None, f.field(f.limit("Maximum call sessions"))] = None
    cps: Annotated[int | None, f.field(f.limit("Call sessions per second"))] = None
    max_duration: Annotated[int | None, f.field(r.seconds("Maximum call duration", 1))] = None
    invite_timeout: Annotated[int, f.field(_timer("Longest silence"))] = 5
    progress_timeout: Annotated[int, f.field(_timer("Longest wait for ringing"))] = 10
    ring_timeout: Annotated[int, f.field(_timer("Longest ringing"))] = 60
    session_timer: Annotated[int | None, f.field(r.seconds("Session timer", 90, r.DAY))] = None
    probe_interval: Annotated[int, f.field(_timer("Probing", 0))] = 0
    identity: Annotated[str, f.field(f.choice("Identity", IDENTITIES))] = "none"
    diversion: Annotated[str, f.field(f.choice("Diversion", DIVERSIONS))] = "drop"
    from_user: Annotated[str, f.field(r.user("From user"))] = ""
    from_domain: Annotated[str, f.field(r.domain("From host"))] = ""
    is_trusted: Annotated[bool, f.field(f.switch("Trusted"))] = False
    passed_headers: Annotated[tuple[str, ...], f.field(r.passed_headers("Headers that go along"))] = ()
    added_headers: Annotated[tuple[str, ...], f.field(r.added_headers("Added headers"))] = ()
    auth_user: Annotated[str, f.field(r.user("User name"))] = ""
    registers: Annotated[bool, f.field(f.switch("Register"))] = False
    register_expires: Annotated[int, f.field(_timer("Registered for", 60))] = 600
    tls_verify: Annotated[str, f.field(f.choice("Certificate", TLS_VERIFY))] = "name"
    reliable_ringing: Annotated[str, f.field(f.choice("Reliable ringing", RELIABLE_RINGING))] = "off"
    prefers_tcp: Annotated[bool, f.field(f.switch("TCP for large requests"))] = False
    follows_redirects: Annotated[bool, f.field(f.switch("Follow redirects"))] = False
    srtp: Annotated[str, f.field(lambda typed: f.choice("Encryption", SRTP)(typed or "off"))] = "off"
    dtmf: Annotated[str, f.field(lambda typed: f.choice("Digits", DTMF)(typed or "passed"))] = "passed"

    @model_validator(mode="after")
    def _registers_somebody(self) -> Self:
        if self.registers and not self.auth_user and not self.from_user:
            raise f.misfit("auth_user", "User name is needed to register, or a From user: who we are there")
        return self

    def columns(self) -> dict[str, Any]:
        """Values of the columns, as JSON has them; not the secret, which is kept encrypted."""
        return self.model_dump(mode="json", exclude={"name", "auth_secret", "forgets_secret"})


class ChangedGateway(Gateway):
    """A change with the secret; an empty one leaves what there is."""

    auth_secret: Annotated[str, f.field(_secret)] = ""
    forgets_secret: Annotated[bool, f.field(f.switch("Forget the secret"))] = False

    @model_validator(mode="after")
    def _keeps_or_forgets(self) -> Self:
        if self.auth_secret and self.forgets_secret:
            raise f.misfit("auth_secret", "Secret must be empty where it is to be forgotten")
        return self


class NewGateway(ChangedGateway):
    """What a gateway begins with."""

    name: Annotated[str, f.field(f.text("Name", 100))] = ""


START: Final[Mapping[str, str]] = {
    "transport": "udp",
    "status": "active",
    "priority": "1",
    "weight": "100",
    "invite_timeout": "5",
    "progress_timeout": "10",
    "ring_timeout": "60",
    "probe_interval": "30",
    "identity": "none",
    "diversion": "drop",
    "register_expires": "600",
    "tls_verify": "name",
    "reliable_ringing": "off",
    "srtp": "off",
    "dtmf": "passed",
}
"""What an empty form shows."""


def texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A gateway as its form shows it."""
    return {name: _typed(name, row[name]) for name in Gateway.model_fields if name in row}


def _typed(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ("\n" if name == "added_headers" else ", ").join(value)
    return "" if value is None else str(value)
