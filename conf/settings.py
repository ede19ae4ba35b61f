"""Every setting of the product: one frozen dataclass per section, each field with its default, unit and a line of help.

`docs/settings.md` lists the same fields; a test compares the two. Values come from the file and the environment through
`conf.loader`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def setting(default: Any, help_text: str, *, unit: str = "", choices: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
    """Declare a field of a section: its default, its unit (empty for none) and what it does, in one sentence."""
    metadata = {"help": help_text, "unit": unit, "choices": choices}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def default_directory() -> str:
    """The data directory when none is set: /var/lib/softswitch for root, ./var for anybody else."""
    return "/var/lib/softswitch" if os.geteuid() == 0 else "./var"


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """[system]: where data lie and how the processes are run."""

    directory: str = setting("", "Data directory; empty: ./var, for root /var/lib/softswitch")
    node: str = setting("node1", "Name of this machine, unique in the cluster")
    drain: float = setting(30.0, "How long calls may go on after SIGTERM before they are ended", unit="s")
    drain_on_interrupt: float = setting(0.0, "The same after Ctrl-C", unit="s")
    log_level: str = setting("info", "Least level that is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "How log lines look", choices=("text", "json"))

    @property
    def path(self) -> Path:
        """The data directory as an absolute path."""
        return Path(self.directory or default_directory()).absolute()


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """[database]: PostgreSQL, the embedded one unless a URL names another."""

    url: str = setting("", "postgresql:// URL; empty: the embedded server")


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """[live]: Valkey, the embedded one unless a URL names another."""

    url: str = setting("", "valkey://host:port or unix:///path; empty: the embedded server")
    when_away: str = setting("refuse", "New calls while the live store is away", choices=("refuse", "allow"))
    timeout: float = setting(2.0, "Longest wait for an answer of the live store", unit="s")


@dataclass(frozen=True, slots=True)
class SIPSettings:
    """[sip]: listeners and the SIP stack."""

    listen: tuple[str, ...] = setting(
        ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"),
        "Listening addresses, udp, tcp, tls, ws or wss; ?advertise=host:port after one: what peers are shown for it",
    )
    advertise: str = setting(
        "", "Host name or address to show instead of our own; empty: chosen by the route to the peer"
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "Addresses of proxies in front of us; the caller's address is the one that they name in Via"
    )
    realm: str = setting("softswitch", "Digest realm, fixed at the first start; secrets of SIP users depend on it")
    user_agent: str = setting("softswitch", "Server and User-Agent header; empty: none")
    receive_buffer: int = setting(8 * 1024 * 1024, "Socket receive buffer asked for", unit="bytes")
    gather: float = setting(
        0.003, "What comes in quick succession is handled together so often; 0: each thing by itself", unit="s"
    )
    trying_after: float = setting(0.15, "100 Trying is sent when an INVITE has had no answer for so long", unit="s")
    session_timer: int = setting(
        1800, "Sessions are refreshed in so long, or their calls end (RFC 4028); 0: only where the peer asks", unit="s"
    )
    t1: float = setting(0.5, "Round-trip estimate T1 of RFC 3261", unit="s")
    call_memory: int = setting(
        64 * 1024 * 1024, "Memory that a worker has ready for its calls from the start", unit="bytes"
    )
    max_calls: int = setting(20_000, "Calls in progress per worker; more are refused with OVERLOAD")
    max_connections: int = setting(10_000, "Open connections per worker; more are closed as they come")
    connect_timeout: float = setting(4.0, "Longest wait for a connection that we make, TLS included", unit="s")
    idle_close: float = setting(600.0, "A connection is closed after so long without a message", unit="s")
    keep_alive: float = setting(
        0.0, "A silent connection that we made is sent two line ends so often (RFC 5626); 0: never", unit="s"
    )
    nat_keep_alive: float = setting(
        25.0,
        "The way to a registered telephone behind a NAT is used so often, so that it stays open; 0: never",
        unit="s",
    )
    nat_keep_alive_method: str = setting(
        "options", "By what on UDP; on connections a line end, unless off", choices=("options", "crlf", "off")
    )
    websocket_origins: tuple[str, ...] = setting(
        (), "Web pages that may connect by WebSocket, https://example.com; empty: all"
    )


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """[tls]: certificates of SIP over TLS and secure WebSocket."""

    certificate: str = setting("", "PEM file of our certificate and those between it and its root; empty: none")
    key: str = setting("", "PEM file of its key, without a password; empty: the same file")
    ca: str = setting("", "PEM file of the authorities that may issue peers' certificates; empty: those of the system")
    client: str = setting("none", "Certificates of those who connect to us", choices=("none", "optional", "required"))
    verify: str = setting(
        "name",
        "What those show that we connect to, gateways aside, which have their own",
        choices=("name", "chain", "none"),
    )
    wildcards: bool = setting(
        False, "Whether *.example.com in a certificate names every host right below; RFC 5922 says no"
    )


@dataclass(frozen=True, slots=True)
class DNSSettings:
    """[dns]: how gateways that have a name are found."""

    nameservers: tuple[str, ...] = setting((), "Whom to ask, 192.0.2.53 or 192.0.2.53:5353; empty: those of the system")
    timeout: float = setting(4.0, "Longest wait for all that finding a server takes", unit="s")


@dataclass(frozen=True, slots=True)
class BanSettings:
    """[ban]: sources that are banned by themselves."""

    failures: int = setting(5, "Failed authentications of one source after which it is banned; 0: it never is")
    window: int = setting(60, "They count when they come within so long", unit="s")
    time: int = setting(900, "How long a source is banned", unit="s")
    scanners: bool = setting(True, "Ban known scanners at once, by their User-Agent")
    firewall: bool = setting(True, "Drop banned sources in the kernel where the process may (CAP_NET_ADMIN)")
    table: str = setting("softswitch", "Name of the nftables table; the name of the worker is added")


@dataclass(frozen=True, slots=True)
class CallSettings:
    """[call]: limits that hold for every call."""

    max_duration: int = setting(7200, "Longest call; accounts, resellers and gateways may set less", unit="s")
    max_attempts: int = setting(10, "Most carrier attempts of one call")
    reference_seconds: int = setting(60, "Length of the call by whose cost carriers are compared", unit="s")
    ends_suspended: bool = setting(True, "End the calls of an account that is suspended or closed")
    refusal_rows: int = setting(20, "Refusals a second of one device and code after which the others share a record")
    funds_slice: int = setting(60, "Funds are held for so much of a call at a time", unit="s")
    funds_lead: int = setting(20, "More are held so long before those that are held end", unit="s")
    failover_codes: tuple[int, ...] = setting(
        (401, 402, 403, 404, 408, 410, 483, 488, *range(500, 600)), "Answers of a carrier after which the next is tried"
    )


@dataclass(frozen=True, slots=True)
class CDRSettings:
    """[cdr]: the journal and its writer."""

    segment_size: int = setting(64 * 1024 * 1024, "Journal file size after which a new one is begun", unit="bytes")
    sync_interval: float = setting(0.05, "Longest time a journal record stays unsynced", unit="s")
    batch: int = setting(2000, "Most records in one transaction of the writer")
    journal_limit: int = setting(
        8 * 1024**3, "Journal that may wait for the database, per worker, before new calls are refused", unit="bytes"
    )
    retention_months: int = setting(0, "Whole months that records are kept besides the current one; 0: for ever")
    export_directory: str = setting("", "Directory of the files for outside billing; empty: none are written")
    export_format: str = setting("csv", "What these files are; json: one object on each line", choices=("csv", "json"))
    export_interval: int = setting(3600, "A file holds the records of so long", unit="s")


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """[trace]: the SIP messages of calls."""

    messages: int = setting(40, "Most messages of a call that are kept, the first and the last; 0: none, and no traces")
    bodies: bool = setting(False, "Keep the bodies of messages too, without the keys of media")
    share: float = setting(0.01, "Share of the answered calls whose messages are written; of the others, all are")


@dataclass(frozen=True, slots=True)
class HEPSettings:
    """[hep]: copies of all SIP messages for a capture server such as Homer."""

    url: str = setting("", "udp:// or tcp://host:port of the capture server; empty: nothing is sent")
    capture_id: int = setting(2001, "Number of this machine as the capture server knows it")
    node: str = setting("", "Its name there; empty: that of [system] node")


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """[media]: engines that calls with media go through, and our own one."""

    engines: tuple[str, ...] = setting(
        ("own",),
        "Engines, calls are shared by weight: own, udp://address:port?weight=2 (rtpengine too), unix:///path; "
        "without own none is started here",
    )
    listen: tuple[str, ...] = setting((), "Where our engine hears requests besides its own socket: udp://address:port")
    interfaces: tuple[str, ...] = setting(
        (),
        "Addresses of our engine: address, name=address or name=address!shown; empty: chosen by the route to the peer",
    )
    first_port: int = setting(30_000, "First port of our engine, …")
    last_port: int = setting(39_999, "… and its last")
    source: str = setting(
        "learn-once",
        "Where an end may send from: where its description says, where it does send from, or the first such place",
        choices=("strict", "learn", "learn-once"),
    )
    anchor_nat: bool = setting(
        True, "Let media of callers and telephones behind NAT go through an engine, whatever their account says"
    )
    timeout: float = setting(30.0, "A call is ended when nothing has come from either end for so long", unit="s")
    hold_timeout: float = setting(600.0, "The same while it is on hold", unit="s")
    silent_after: float = setting(
        10.0, "Audio is one-way, or silent, when nothing has come from one or both ends for so long", unit="s"
    )
    kernel: bool = setting(True, "Let the kernel pass packets on where the process may (CAP_NET_ADMIN)")
    video: bool = setting(True, "Pass video; else it is refused in the description")
    t38: bool = setting(True, "Pass T.38 fax; else it is refused in the description")
    max_calls: int = setting(5000, "Most calls of our engine")
    prompts: str = setting(
        "", "Directory of WAV files (8 or 16 kHz, mono, 16 bits) that can be played; empty: tones only"
    )
    max_plays: int = setting(200, "Most prompts and tones that our engine plays at once")
    ringback: str = setting(
        "off",
        "Tone that a caller whose call goes through an engine hears while it rings without sound: "
        "of North America, the United Kingdom, Europe",
        choices=("off", "us", "uk", "eu"),
    )
    announcements: tuple[str, ...] = setting(
        (), "What callers hear before a refusal, as CODE=prompt: NO_FUNDS=no-funds, NO_ROUTE=sit"
    )
    announcement_time: float = setting(10.0, "A refusal waits for its announcement no longer than this", unit="s")
    max_announcements: int = setting(
        50, "Most announcements at once of a worker; further refusals are given without one"
    )


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """[panel]: the web panel."""

    listen: str = setting("127.0.0.1:8080", "Address and port of the panel")
    secure_cookie: bool = setting(False, "Send the session cookie over HTTPS only; switch on behind a TLS proxy")
    session_idle: int = setting(3600, "A session ends after so long without a request", unit="s")
    lock_after: int = setting(5, "Failed sign-ins in a row after which a login is locked")
    lock_time: int = setting(900, "How long it stays locked", unit="s")
    staff_second_factor: bool = setting(
        False, "Logins of administrators, support and accounts must set up a second factor before they go on"
    )
    e164_phones: bool = setting(False, "Customers' phone numbers may also be like +493090182000, not only 10 digits")


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections."""

    system: SystemSettings = field(default_factory=SystemSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    sip: SIPSettings = field(default_factory=SIPSettings)
    tls: TLSSettings = field(default_factory=TLSSettings)
    dns: DNSSettings = field(default_factory=DNSSettings)
    ban: BanSettings = field(default_factory=BanSettings)
    call: CallSettings = field(default_factory=CallSettings)
    cdr: CDRSettings = field(default_factory=CDRSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)
    hep: HEPSettings = field(default_factory=HEPSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    panel: PanelSettings = field(default_factory=PanelSettings)
