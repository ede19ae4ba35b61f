"""The media of one call at an engine: its session descriptions pass one after the other (docs/architecture.md "Media").

A call of the engine has two sides. The one that called has the same tag whoever answers; each leg that we call has its
own, so that of several which ring the engine knows who has spoken last. Whoever waits for an engine is told by a
function; what comes for a call that has ended meanwhile is dropped.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Final

import structlog

from b2bua.call.leg import Leg
from b2bua.call.media_options import add_digits, is_secure, protocol_towards
from b2bua.sip.flow import SECURE, Flow
from b2bua.transport.endpoint import Endpoint, new_token
from cdr.media import Figures
from media.client import MediaClient
from media.errors import MediaError, NoEngine
from media.ng import Options
from media.report import CallReport

log = structlog.get_logger()

WAITING_LIMIT: Final = 16
"""Descriptions of one call that wait for the engine."""

NO_MEDIA: Final = "NO_MEDIA"
"""Code of what an engine could not do."""

Done = Callable[[bytes | MediaError], None]
"""Takes the description as the other side is to see it, or why there is none."""

Pressed = Callable[[MediaError | None], None]
"""Told whether a digit could be pressed."""

Reported = Callable[[CallReport], None]
"""Takes the last figures of a call."""

_HIDDEN: Final = [
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]
"""Networks that no route leads to from outside: private, shared by a provider's customers, unique local."""


def is_hidden(address: str, source: str) -> bool:
    """Whether an address that a peer calls itself by is one of its own network, which we do not see."""
    if not address or address == source:
        return False
    try:
        named, seen = ip_address(address), ip_address(source)
    except ValueError:
        return False
    if seen.is_loopback or named == seen:
        return False
    return any(named in network for network in _HIDDEN)


def figures_of(report: CallReport, tag: str) -> Figures | None:
    """What was measured of the sound of a side; None: it has none."""
    for medium in report.sides.get(tag, ()):
        if medium.kind == "audio":
            return medium.packets, medium.lost, medium.jitter_ms, medium.mos
    return None


def code_of(error: MediaError) -> str:
    """The code of an attempt that an engine has failed: a description that it cannot use is the peer's fault."""
    return "CODEC_NOT_ALLOWED" if error.status_hint == 488 else NO_MEDIA


def status_of(error: MediaError) -> int:
    """What an offer within a call is answered with when an engine cannot carry it."""
    return 488 if error.status_hint == 488 else 503


class _Job:
    """A description on its way through the engine."""

    __slots__ = ("body", "done", "listener", "offerer", "shown", "speaker")

    def __init__(self, offerer: str, speaker: Leg, listener: Leg, body: bytes, shown: str, done: Done) -> None:
        self.offerer = offerer
        """Tag of the side that has made the offer which this answers; empty: this is an offer."""
        self.speaker = speaker
        self.listener = listener
        self.body = body
        self.shown = shown
        """Our address as the listener is to see it; empty: the engine knows."""
        self.done = done


class Anchor:
    """One call of an engine.

    Args:
        client: The way to the engines.
        endpoint: Its turn ends when an engine has answered.
        name: Of the call, as the engine knows it.
        knows_us: Whether the engine has the addresses that we have for signalling.
    """

    __slots__ = (
        "_client",
        "_endpoint",
        "_in_flight",
        "_is_begun",
        "_is_calling",
        "_is_over",
        "_jobs",
        "_knows_us",
        "_offered",
        "_offerer",
        "_said",
        "_shown",
        "_speaks_srtp",
        "_tags",
        "name",
    )

    def __init__(self, client: MediaClient, endpoint: Endpoint, name: str, *, knows_us: bool = False) -> None:
        self._client = client
        self._endpoint = endpoint
        self._knows_us = knows_us
        self._jobs: deque[_Job] = deque()
        self._in_flight: _Job | None = None
        self._is_calling = self._is_over = self._is_begun = False
        self._offerer = ""
        """Tag of the side whose offer is the newest."""
        self._tags: dict[Leg, str] = {}
        self._said: dict[str, bytes] = {}
        """What each answering side has said last, by its tag."""
        self._shown: dict[str, bytes] = {}
        """The same as the other side was shown it."""
        self._offered: dict[str, bytes] = {}
        """The newest offer of each side as the other was shown it."""
        self._speaks_srtp: dict[str, bool] = {}
        """Whether the last description of each side, by its tag, was of SRTP."""
        self.name = name

    def tag_of(self, leg: Leg) -> str:
        """The tag of a leg, which it keeps whatever becomes of its dialogs."""
        tag = self._tags.get(leg)
        if tag is None:
            tag = self._tags[leg] = new_token()
        return tag

    # Descriptions

    def offer(self, speaker: Leg, listener: Leg, body: bytes, done: Done) -> None:
        """Pass an offer of a leg through.

        Args:
            speaker: Who makes it.
            listener: Who gets it; any of several.
            body: As it came.
            done: Told what to send, unless the call ends before; perhaps at once.
        """
        shown = self._address_towards(listener.flow) if self._knows_us and not self._shown else ""
        self._put(_Job("", speaker, listener, body, shown, done))

    def answer(self, offerer: Leg, speaker: Leg, body: bytes, done: Done) -> None:
        """Pass the answer of a leg to an offer through; a later one to the same offer takes the place of the first."""
        self._put(_Job(self.tag_of(offerer), speaker, offerer, body, "", done))

    def last_answer(self, leg: Leg) -> bytes:
        """What a leg has answered last, as it came; empty: nothing yet."""
        return self._said.get(self.tag_of(leg), b"")

    def offered_by(self, leg: Leg) -> bytes:
        """The newest offer of a leg as the other side was shown it; empty: it made none."""
        return self._offered.get(self.tag_of(leg), b"")

    @property
    def is_begun(self) -> bool:
        """Whether an engine may know the call."""
        return self._is_begun

    def _put(self, job: _Job) -> None:
        if self._is_over:
            return
        if len(self._jobs) >= WAITING_LIMIT:
            job.done(NoEngine("too many session descriptions of the call wait"))
            return
        self._jobs.append(job)
        self._go_on()

    def _go_on(self) -> None:
        while self._jobs and self._in_flight is None and not self._is_over:
            job = self._in_flight = self._jobs.popleft()
            self._is_calling = True
            try:
                self._ask(job)
            finally:
                self._is_calling = False

    def _ask(self, job: _Job) -> None:
        tag, flow = self.tag_of(job.speaker), job.speaker.flow
        options = Options(received_from=_address(flow.host), media_address=job.shown)
        add_digits(options, job.speaker.media, job.listener.media)
        heard = partial(self._heard, job)
        if not job.offerer:
            self._offerer, self._is_begun = tag, True
            speaks_srtp = self._speaks_srtp.get(self.tag_of(job.listener))
            options.transport_protocol = protocol_towards(
                job.body,
                job.listener.media,
                speaks_srtp=speaks_srtp,
                is_signalled_securely=job.listener.flow.transport in SECURE,
            )
            self._client.offer(self.name, tag, job.body, options, heard)
        elif job.offerer != self._offerer:
            # The session was changed meanwhile; what an answer repeats of the one before counts no more.
            heard(self._shown.get(tag, b""))
        else:
            self._client.answer(self.name, job.offerer, tag, job.body, options, heard)

    def _heard(self, job: _Job, result: bytes | MediaError) -> None:
        self._in_flight = None
        if self._is_over:
            self._delete_late()
            return
        is_turn_ours = not self._is_calling
        if isinstance(result, MediaError):
            log.warning("media engine did not take a session description", call_id=self.name, error=str(result))
        else:
            self._speaks_srtp[self.tag_of(job.speaker)] = is_secure(job.body)
            self._keep(job, result)
        try:
            job.done(result)
        finally:
            if is_turn_ours:
                self._go_on()
                self._endpoint.end_of_turn()

    def _keep(self, job: _Job, result: bytes) -> None:
        if job.offerer:
            tag = self.tag_of(job.speaker)
            self._said[tag], self._shown[tag] = job.body, result
        else:
            self._offered[self.tag_of(job.speaker)] = result

    # Digits

    def press(self, leg: Leg, digit: str, duration_ms: int, done: Pressed) -> None:
        """Let a leg press a digit in its sound.

        Args:
            leg: Whose sound it is put into.
            digit: The digit.
            duration_ms: How long.
            done: Told why it could not be, or None, after the turn.
        """

        def pressed(result: object) -> None:
            done(result if isinstance(result, MediaError) else None)
            self._endpoint.end_of_turn()

        self._client.play_dtmf(self.name, self.tag_of(leg), digit, duration_ms, pressed)

    def _address_towards(self, flow: Flow) -> str:
        """Our address as a peer should see it; empty: signalling shows a name."""
        return _address(self._endpoint.sent_by(flow).rpartition(":")[0].strip("[]"))

    # The end

    def end(self, reported: Reported | None = None) -> None:
        """The call is over: the engine forgets it.

        Args:
            reported: Gets its last figures, if there are any, after the turn.
        """
        if self._is_over:
            return
        self._is_over = True
        self._jobs.clear()
        if self._is_begun:
            self._client.delete(self.name, partial(self._ended, reported))

    def _ended(self, reported: Reported | None, result: CallReport | MediaError) -> None:
        if reported is not None and not isinstance(result, MediaError):
            reported(result)

    def _delete_late(self) -> None:
        """An engine has taken the call up after it was told to forget it."""
        if self._client.engine_of(self.name):
            self._client.delete(self.name, _ignore)


def _address(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _ignore(_: object) -> None:
    """Nobody wants to know."""
