"""Subscriptions of SIP users to their mailboxes: SUBSCRIBE in, NOTIFY out (RFC 6665, RFC 3842).

A subscription lives in the worker that took it, in memory: when that ends, the telephone's next refresh is answered
with 481, and it subscribes anew. What mailboxes hold is in the live store; a change is found by a look at a version
number and told to every live subscription of its SIP user. One NOTIFY of a subscription is under way at a time; what
changes meanwhile is told in the next.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from b2bua.call.client_request import ClientRequest
from b2bua.call.leg import contact_of, next_hop
from b2bua.live.connection import StoreAway
from b2bua.policy.accounts import Device
from b2bua.policy.snapshot import Snapshot
from b2bua.registrar.mailbox import PAGE, UNKNOWN, MailboxStore
from b2bua.registrar.service import reason_to_refuse
from b2bua.registrar.subscription import (
    BODY_TYPE,
    GONE,
    Asked,
    Mailbox,
    SubscribeRefused,
    Subscription,
    account_of,
    format_summary,
    read_subscribe,
)
from b2bua.sip.dialog import Dialog, contact_uri
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.sip.uri import URI
from b2bua.transport.endpoint import Endpoint, TimerOwner, new_token

log = structlog.get_logger()

LIMIT: Final = 50_000
"""Most subscriptions of a worker; more are refused."""
USER_LIMIT: Final = 10
"""Most of one SIP user; the oldest makes room, which a telephone that was restarted has forgotten."""
RETRY_AFTER: Final = "300"

LOOK: Final = 0.4
"""Seconds between two looks at what has changed."""

Prove = Callable[[ServerTransaction, Request, Flow], tuple[str, Device] | None]
"""Where a request comes from and the SIP user that it proves to be of; None: it has been answered."""

Key = tuple[str, str]
"""Call-ID and our tag."""


class _Subscriber(ClientRequest, TimerOwner):
    """One subscription and its dialog."""

    __slots__ = ("_owner", "asked", "dialog", "is_direct", "is_over", "subscription", "timer", "unsaid")

    def __init__(self, owner: "Subscriptions", dialog: Dialog, subscription: Subscription) -> None:
        self._owner = owner
        self.dialog = dialog
        self.subscription = subscription
        self.timer: Timer[TimerOwner] | None = None
        """Until it expires."""
        self.asked: ClientTransaction | None = None
        """The NOTIFY that is under way."""
        self.unsaid = False
        """Whether there is something to say when that is answered."""
        self.is_direct = False
        """Whether it sent its last SUBSCRIBE itself, without a proxy between."""
        self.is_over = False

    def came(self, request: Request, flow: Flow) -> None:
        """Its last SUBSCRIBE came this way."""
        self.dialog.flow = flow
        self.is_direct = len(request.headers["via"]) == 1 and not self.dialog.route_set

    def way(self, notify: Request, endpoint: Endpoint) -> Flow:
        """Where a NOTIFY goes: back where the SUBSCRIBE came from, as calls to a registered telephone do."""
        if self.is_direct and self.dialog.flow.transport == "udp":
            return self.dialog.flow
        return next_hop(endpoint, self.dialog.flow, notify)

    @property
    def key(self) -> Key:
        """By which requests of the subscriber find it."""
        return self.dialog.call_id, self.dialog.local_tag

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The subscriber has heard, or knows nothing of it any more."""
        if transaction is self.asked and response.status >= 200:
            self._owner.notified(self, response.status)

    def failed(self, transaction: ClientTransaction, code: str) -> None:
        """It is not there any more."""
        if transaction is self.asked:
            self._owner.notified(self, 408)

    def on_timer(self, kind: int, now: float) -> None:
        """It has not been refreshed."""
        self.timer = None
        self._owner.end(self, "timeout")


class Subscriptions:
    """The subscriptions of one worker.

    Args:
        endpoint: Sends.
        store: What mailboxes hold.
        snapshot: Gives the current configuration.
        user_agent: Server and User-Agent header; empty: none.
    """

    def __init__(
        self, endpoint: Endpoint, store: MailboxStore, snapshot: Callable[[], Snapshot], user_agent: str = ""
    ) -> None:
        self._endpoint = endpoint
        self._store = store
        self._snapshot = snapshot
        self._user_agent = user_agent
        self._by_key: dict[Key, _Subscriber] = {}
        self._by_user: dict[int, dict[Key, _Subscriber]] = {}
        """The oldest first."""
        self._version = UNKNOWN
        self._is_asking = False
        self._is_behind = True
        """Whether changes may have been missed, so that every mailbox has to be read."""

    @property
    def count(self) -> int:
        """Subscriptions that live."""
        return len(self._by_key)

    # SUBSCRIBE

    def takes(self, request: Request) -> bool:
        """Whether a request is a SUBSCRIBE of a new subscription, or of one that lives here."""
        is_ours = request.method == "SUBSCRIBE"
        return is_ours and (not request.to_tag or (request.call_id, request.to_tag) in self._by_key)

    def receive(self, transaction: ServerTransaction, request: Request, flow: Flow, prove: Prove) -> None:
        """Answer a SUBSCRIBE.

        Args:
            transaction: To answer in.
            request: One that `takes` takes.
            flow: Where it came from.
            prove: Tells who sent it.
        """
        try:
            asked = read_subscribe(request)
            if request.to_tag:
                self._refresh(transaction, request, flow, asked)
            elif (proved := prove(transaction, request, flow)) is not None:
                self._subscribe(transaction, request, flow, asked, self._begin(request, asked, *proved))
        except SubscribeRefused as refused:
            self._answer(transaction, request, refused.status, refused.headers)

    def _subscribe(
        self,
        transaction: ServerTransaction,
        request: Request,
        flow: Flow,
        asked: Asked,
        subscription: Subscription,
    ) -> None:
        dialog = Dialog.as_uas(request, new_token(), contact_of(self._endpoint, flow), flow)
        subscriber = _Subscriber(self, dialog, subscription)
        subscriber.came(request, flow)
        if asked.expires:
            self._keep(subscriber, asked.expires)
        else:
            subscriber.is_over = True
        self._accept(transaction, request, subscriber, asked.expires)

    def _begin(self, request: Request, asked: Asked, source: str, user: Device) -> Subscription:
        try:
            is_own = URI.parse(request.uri).number == user.username
            account = account_of(request, user.username)
        except ParseError as error:
            raise SubscribeRefused(error.status_hint, {}) from error
        reason = reason_to_refuse(user, source) if is_own else "mailbox of another user"
        if reason:
            log.info("subscription refused", user=user.username, source=source, reason=reason)
            raise SubscribeRefused(403, {})
        if not contact_uri(request):
            raise SubscribeRefused(400, {})
        if self.count >= LIMIT:
            raise SubscribeRefused(503, {"retry-after": RETRY_AFTER})
        return Subscription(user.id, account, asked.event_id, 0.0)

    def _refresh(self, transaction: ServerTransaction, request: Request, flow: Flow, asked: Asked) -> None:
        """A SUBSCRIBE in the dialog of a subscription: go on, or end it (RFC 6665 §4.1.2.2, §4.1.2.3)."""
        subscriber = self._by_key[request.call_id, request.to_tag]
        if asked.event_id != subscriber.subscription.event_id:
            raise SubscribeRefused(481, {})
        if not subscriber.dialog.accepts(request):
            raise SubscribeRefused(500, {})  # RFC 3261 §12.2.2: out of order
        subscriber.dialog.refresh_target(request)
        subscriber.came(request, flow)
        if asked.expires:
            self._keep(subscriber, asked.expires)
        else:
            self._forget(subscriber)
        self._accept(transaction, request, subscriber, asked.expires)

    def _accept(self, transaction: ServerTransaction, request: Request, subscriber: _Subscriber, expires: int) -> None:
        """Answer 200, and tell at once how things are."""
        headers = {"expires": str(expires), "contact": subscriber.dialog.contact}
        self._answer(transaction, request, 200, headers, subscriber.dialog.local_tag)
        user_id = subscriber.subscription.sip_user_id

        def read(mailboxes: dict[int, Mailbox] | StoreAway) -> None:
            known = subscriber.subscription.told
            mailbox = known if isinstance(mailboxes, StoreAway) else mailboxes[user_id]
            if not subscriber.is_over:
                self._notify(subscriber, mailbox)
            elif not expires:
                self._send(subscriber, mailbox, "terminated;reason=timeout")

        self._store.read((user_id,), read)

    def _answer(
        self, transaction: ServerTransaction, request: Request, status: int, extra: Mapping[str, str], tag: str = ""
    ) -> None:
        response = Response.to(request, status, tag or new_token())
        if self._user_agent:
            response.headers["server"] = [self._user_agent]
        for name, value in extra.items():
            response.headers[name] = [value]
        self._endpoint.transactions.send_response(transaction, response, self._endpoint.now())

    # Subscriptions

    def _keep(self, subscriber: _Subscriber, seconds: int) -> None:
        """It lives for so long from now."""
        endpoint, subscription = self._endpoint, subscriber.subscription
        if subscriber.timer is not None:
            endpoint.wheel.cancel(subscriber.timer)
        subscriber.timer = endpoint.add_timer(float(seconds), subscriber, 0)
        subscription.expires_at = endpoint.now() + seconds
        if subscriber.key not in self._by_key:
            of_user = self._by_user.setdefault(subscription.sip_user_id, {})
            while len(of_user) >= USER_LIMIT:
                self.end(next(iter(of_user.values())), f"probation;retry-after={RETRY_AFTER}")
                of_user = self._by_user.setdefault(subscription.sip_user_id, {})
            self._by_key[subscriber.key] = of_user[subscriber.key] = subscriber

    def _forget(self, subscriber: _Subscriber) -> None:
        subscriber.is_over = True
        if subscriber.timer is not None:
            self._endpoint.wheel.cancel(subscriber.timer)
            subscriber.timer = None
        user_id = subscriber.subscription.sip_user_id
        self._by_key.pop(subscriber.key, None)
        of_user = self._by_user.get(user_id, {})
        of_user.pop(subscriber.key, None)
        if not of_user:
            self._by_user.pop(user_id, None)

    def end(self, subscriber: _Subscriber, reason: str) -> None:
        """End a subscription, and tell it so (RFC 6665 §4.2.2)."""
        self._forget(subscriber)
        self._send(subscriber, subscriber.subscription.told, f"terminated;reason={reason}")

    # NOTIFY

    def _notify(self, subscriber: _Subscriber, mailbox: Mailbox | None) -> None:
        """Tell how things are, now or when the NOTIFY before is answered."""
        subscription = subscriber.subscription
        if subscriber.asked is not None:
            subscription.told, subscriber.unsaid = mailbox, True
            return
        self._send(subscriber, mailbox, subscription.state(self._endpoint.now()))

    def _send(self, subscriber: _Subscriber, mailbox: Mailbox | None, state: str) -> None:
        subscription, dialog, endpoint = subscriber.subscription, subscriber.dialog, self._endpoint
        subscription.told = mailbox
        # RFC 6665 §4.2.1.2: what is not known yet is left out.
        body = format_summary(mailbox, subscription.account) if mailbox is not None else b""
        notify = dialog.request("NOTIFY", body)
        notify.headers["contact"] = [dialog.contact]
        notify.headers["event"] = [subscription.event]
        notify.headers["subscription-state"] = [state]
        if self._user_agent:
            notify.headers["user-agent"] = [self._user_agent]
        if body:
            notify.headers["content-type"] = [BODY_TYPE]
        flow = subscriber.way(notify, endpoint)
        user = None if subscriber.is_over else subscriber
        asked = endpoint.transactions.send_request(notify, flow, endpoint.now(), user)
        subscriber.asked = None if subscriber.is_over else asked

    def notified(self, subscriber: _Subscriber, status: int) -> None:
        """A NOTIFY has its final answer; 408: it has none."""
        subscriber.asked = None
        if subscriber.is_over:
            return
        if status in GONE:
            self._forget(subscriber)
        elif subscriber.unsaid:
            subscriber.unsaid = False
            self._notify(subscriber, subscriber.subscription.told)

    # What changes

    def attach(self) -> None:
        """The live store has just been connected: whatever changed meanwhile was missed."""
        self._is_behind = True
        self._is_asking = False

    async def run(self) -> None:
        """Look at what has changed, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            if not self._by_user:
                self._is_behind = True  # nobody wants to know: whoever comes next is told all
                continue
            self.look()
            self._endpoint.end_of_turn()

    def look(self) -> None:
        """Ask what has changed, unless an answer is awaited."""
        if not self._is_asking:
            self._ask(UNKNOWN if self._is_behind else self._version)

    def _ask(self, version: int) -> None:
        self._is_asking = True
        self._store.changes(version, self._changed)

    def _changed(self, changes: tuple[int, bool, list[tuple[int, Mailbox]]] | StoreAway) -> None:
        self._is_asking = False
        if isinstance(changes, StoreAway):
            self._is_behind = True
            return
        version, is_more, mailboxes = changes
        if self._is_behind or version < self._version:  # or the store has lost its data
            self._is_behind = False
            self._read_all()
        self._version = version
        for user_id, mailbox in mailboxes:
            self._tell(user_id, mailbox)
        if is_more:
            self._ask(version)

    def _read_all(self) -> None:
        users = list(self._by_user)
        for start in range(0, len(users), PAGE):
            self._store.read(users[start : start + PAGE], self._read)

    def _read(self, mailboxes: dict[int, Mailbox] | StoreAway) -> None:
        if isinstance(mailboxes, StoreAway):
            self._is_behind = True
            return
        for user_id, mailbox in mailboxes.items():
            self._tell(user_id, mailbox)

    def _tell(self, user_id: int, mailbox: Mailbox) -> None:
        """Tell the subscriptions of a SIP user, where it is news."""
        subscribers = list(self._by_user.get(user_id, {}).values())
        if not subscribers:
            return
        user = self._snapshot().users.get_by_id(user_id)
        reason = "noresource" if user is None else "rejected" if reason_to_refuse(user) else ""
        for subscriber in subscribers:
            if reason:
                self.end(subscriber, reason)
            elif subscriber.subscription.told != mailbox:
                self._notify(subscriber, mailbox)
