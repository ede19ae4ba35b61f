"""A customer that is set up in the panel by its own forms, over HTTP, and calls through the running switch.

What a case changes is put back before the next one: the forms are sent again as they were.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import aiohttp
import asyncpg

from admin.csrf import FIELD
from b2bua.account.customer import START
from b2bua.agent.user_agent import Answerer, Caller
from b2bua.call.callee_leg import CalleeLeg
from b2bua.control.client import ControlClient
from b2bua.sip.digest import Challenge
from b2bua.sip.message import Request, Response
from tests.admin.data import HASH, PASSWORD
from tests.support.calls import PATIENCE, SOURCE, carrier_on, until
from tests.support.switch import NUMBER, Switch

ADDRESS: Final = "127.0.0.70"
"""Of its IP device, where its exchange stands."""
OTHER_ADDRESS: Final = "127.0.0.71"
PHONE_ADDRESS: Final = "127.0.0.72"
CARRIER_ADDRESS: Final = "127.0.0.73"
"""Where calls to its DID come from."""
DID: Final = "493023125770"
PRICE: Final = "0.0400"
"""Of a call with the tariff that it has: a minute to London."""

CUSTOMER: Final = {
    **START,
    **{"name": "Effects Ltd", "company": "Effects", "phone": "3090182000", "tariff": "demo retail"},
    **{"max_sessions": "none", "cps": "none", "max_credit_limit": "100"},
}
DEVICE: Final = {"address": ADDRESS, "transport": "udp", "status": "active"}
USER: Final = {"username": "effect", "extension": "7001", "status": "active"}
RULE_TABS: Final = ("source-rules", "destination-rules", "did-source-rules", "did-destination-rules", "cli-rules")

_SETUP: Final = (
    "INSERT INTO tariff (name, kind, currency) SELECT name, 'customer', 'EUR'"
    " FROM unnest(ARRAY['effect dear', 'effect cheap']) AS name",
    "INSERT INTO ratecard (name) SELECT name FROM unnest(ARRAY['effect dear', 'effect cheap']) AS name",
    "INSERT INTO rate (ratecard_id, prefix, rate_per_minute, minimum, resolution)"
    " SELECT id, '', CASE name WHEN 'effect dear' THEN 0.6 ELSE 0.001 END, 60, 60 FROM ratecard"
    " WHERE name LIKE 'effect %'",
    "INSERT INTO tariff_ratecard (tariff_id, ratecard_id)"
    " SELECT tariff.id, ratecard.id FROM tariff JOIN ratecard USING (name) WHERE name LIKE 'effect %'",
    "INSERT INTO route (name) VALUES ('effect other')",
    "INSERT INTO route_entry (route_id, prefix, carrier_id)"
    " SELECT route.id, '', carrier.id FROM route, carrier"
    " WHERE route.name = 'effect other' AND carrier.code = 'CARR0002'",
    "INSERT INTO carrier (code, name, currency) VALUES ('CARR0770', 'Brings calls', 'EUR')",
    f"INSERT INTO gateway (carrier_id, name, host) SELECT id, 'effect', '{CARRIER_ADDRESS}' FROM carrier"
    " WHERE code = 'CARR0770'",
    "INSERT INTO ratecard (name, direction) VALUES ('effect incoming', 'incoming')",
    "INSERT INTO rate (ratecard_id, prefix, rate_per_minute)"
    " SELECT id, '', 0.01 FROM ratecard WHERE name = 'effect incoming'",
    "INSERT INTO tariff_ratecard (tariff_id, ratecard_id) SELECT tariff.id, ratecard.id FROM tariff, ratecard"
    " WHERE tariff.name = 'demo retail' AND ratecard.name = 'effect incoming'",
)
_TAKE_DOWN: Final = f"""
    DELETE FROM did WHERE number = '{DID}';
    DELETE FROM ip_device WHERE account_id IN (SELECT id FROM account WHERE name LIKE 'Effects%');
    DELETE FROM sip_user WHERE account_id IN (SELECT id FROM account WHERE name LIKE 'Effects%');
    DELETE FROM gateway WHERE name = 'effect';
    DELETE FROM tariff_ratecard USING ratecard
    WHERE ratecard.id = ratecard_id AND ratecard.name = 'effect incoming';
    DELETE FROM panel_user WHERE login LIKE 'effect%';
"""


class Phone(Caller):
    """A caller that keeps what it was answered, and proves itself when it is asked to."""

    def __init__(self, host: str, user: str = "", secret: str = "") -> None:
        super().__init__(host)
        self.user, self.secret = user, secret
        self.answer: Response | None = None
        self.again: tuple[str, str, str, int] | None = None

    def dial(self, number: str, source: str, port: int) -> None:
        """Call the switch."""
        self.again = (number, source, "127.0.0.1", port) if self.user else None
        self.call(number, source, "127.0.0.1", port)

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """Prove it, once."""
        if response.status == 407 and self.again is not None:
            again, self.again = self.again, None
            challenge = Challenge.parse(response.headers.first("proxy-authenticate"))
            uri = f"sip:{again[0]}@127.0.0.1:{again[3]}"
            proof = challenge.answer(self.user, self.secret, "INVITE", uri, "c0ffee")
            self.headers = {"proxy-authorization": [str(proof)]}
            self.call(*again)
            return
        if response.status >= 200:
            self.answer = response
        super().callee_responded(leg, response)


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a call."""

    status: int
    reason: str
    """The code in the Reason header of a refusal; empty where there is none."""
    by: str
    """Who got it, by the name among the agents; empty for nobody."""
    invite: Request | None
    call_id: str

    @property
    def source(self) -> str:
        """The caller's number as the callee got it."""
        return self._user("from")

    @property
    def number(self) -> str:
        """The number called, likewise."""
        assert self.invite is not None
        return re.split("[:@;]", self.invite.uri)[1]

    @property
    def session(self) -> str:
        """The session description that the callee got."""
        assert self.invite is not None
        return self.invite.body.decode()

    def _user(self, name: str) -> str:
        assert self.invite is not None
        found = re.search(r"sips?:([^@>;]*)@", self.invite.headers.first(name))
        return found[1] if found else ""


@dataclass
class Scene:
    """The customer, the panel and everybody who calls or is called."""

    switch: Switch
    http: aiohttp.ClientSession
    database: Any
    control: ControlClient
    agents: dict[str, Answerer]
    code: str = ""
    device_id: str = ""
    user_id: str = ""
    secret: str = ""
    headers: dict[str, list[str]] = field(default_factory=dict)
    """More headers of the next INVITE."""
    _dirty: set[str] = field(default_factory=set)

    # The panel

    async def page(self, path: str) -> str:
        """A page."""
        async with self.http.get(path) as response:
            assert response.status == 200, f"{path}: {response.status}"
            return await response.text()

    async def send(self, path: str, fields: Mapping[str, str], *, status: int = 303) -> tuple[str, str]:
        """Send a form; returns where it leads and what it says."""
        found = re.search(r'name="csrf-token" content="([^"]+)"', await self.page("/password"))
        assert found
        async with self.http.post(path, data={FIELD: found[1], **fields}, allow_redirects=False) as response:
            text = await response.text()
            said = re.sub(r"<[^>]+>|\s+", " ", text[text.find("<main") :])
            assert response.status == status, f"{path}: {response.status}: {said[:1000]}"
            return response.headers.get("Location", ""), text

    async def settled(self) -> None:
        """Wait until the worker knows what was changed."""
        newest = await self.database.fetchval("SELECT revision FROM config_revision")
        deadline = time.monotonic() + PATIENCE
        while (await self.control.request("sip-1", "ping"))["revision"] < newest:
            assert time.monotonic() < deadline, f"the worker has not heard of revision {newest}"
            await asyncio.sleep(0.005)

    async def add_customer(self, name: str, **changed: str) -> str:
        """Add a customer; returns its code."""
        login = f"effect{name.lower()}"
        fields = {**CUSTOMER, "name": f"Effects {name}", "login": login, "password": PASSWORD, **changed}
        place, _ = await self.send("/customers/new", fields)
        code = place.rpartition("/")[2]
        await self.send(f"/customers/{code}/dialing-routes", {"pattern": "%", "route": "demo"})
        return code

    async def customer(self, **changed: str) -> None:
        """Change fields of the customer; a switch is on with yes."""
        self._dirty.add("customer")
        await self.send(f"/customers/{self.code}", {**CUSTOMER, **changed})
        await self.settled()

    async def status(self, status: str) -> None:
        """Suspend or activate it."""
        self._dirty.add("status")
        await self.send(f"/customers/{self.code}/status", {"status": status})
        await self.settled()

    async def device(self, **changed: str) -> None:
        """Change fields of its IP device."""
        self._dirty.add("device")
        port = str(self.agents["exchange"].port)
        await self.send(f"/customers/{self.code}/ip-devices/{self.device_id}", {**DEVICE, "port": port, **changed})
        await self.settled()

    async def user(self, **changed: str) -> None:
        """Change fields of its SIP user."""
        self._dirty.add("user")
        await self.send(f"/customers/{self.code}/sip-users/{self.user_id}", {**USER, **changed})
        await self.settled()

    async def rule(self, tab: str, rule: str) -> None:
        """Add a number rule."""
        self._dirty.add(tab)
        await self.send(f"/customers/{self.code}/{tab}", {"rule": rule})
        await self.settled()

    async def dialing(self, pattern: str, route: str) -> None:
        """Change its dialing route."""
        self._dirty.add("dialing")
        (item,) = await self.items("dialing-routes")
        await self.send(f"/customers/{self.code}/dialing-routes/{item}", {"pattern": pattern, "route": route})
        await self.settled()

    async def pay(self, code: str, option: str, amount: str, *, status: int = 303) -> str:
        """Book money; returns what the page says."""
        method = "cash" if option == "add_balance" else ""
        fields = {"option": option, "amount": amount, "paid_by": method, "request_key": str(uuid4())}
        _, text = await self.send(f"/customers/{code}/payments", fields, status=status)
        return text

    async def items(self, tab: str) -> list[str]:
        """Ids of what is under a tab, the newest last."""
        found = re.findall(
            rf'action="/customers/{self.code}/{tab}/(\d+)/remove"', await self.page(f"/customers/{self.code}/{tab}")
        )
        return sorted(set(found), key=int)

    async def put_back(self) -> None:
        """Undo what the case before changed."""
        dirty, self._dirty = self._dirty, set()
        for tab in RULE_TABS:
            if tab in dirty:
                ids = await self.items(tab)
                kept = 0 if tab == "cli-rules" else 1  # every number, with which an account begins
                for item in ids[kept:]:
                    await self.send(f"/customers/{self.code}/{tab}/{item}/remove", {})
        if "customer" in dirty:
            await self.customer()
        if "status" in dirty:
            await self.status("active")
        if "device" in dirty:
            await self.device()
        if "user" in dirty:
            await self.user()
        if "dialing" in dirty:
            await self.dialing("%", "demo")
        self._dirty.clear()
        await self.settled()

    # Calls

    async def call(
        self, number: str = NUMBER, *, source: str = SOURCE, address: str = ADDRESS, user: str = "", secret: str = "",
        talks: bool = False,
    ) -> Heard:  # fmt: skip
        """Make a call and hang up once it is answered; one that talks is ended by somebody else."""
        before = {name: len(agent.invites) for name, agent in self.agents.items()}
        phone = Phone(address, user, secret)
        phone.headers = self.headers
        await phone.open()
        try:
            phone.dial(number, source, self.switch.port)
            await until(lambda: phone.is_answered.is_set() or phone.is_ended.is_set())
            if phone.is_answered.is_set() and talks:
                await until(phone.is_ended.is_set)
            elif phone.is_answered.is_set():
                phone.hang_up()
            answer = phone.answer
            assert answer is not None
        finally:
            phone.close()
        got = [name for name, agent in self.agents.items() if len(agent.invites) > before[name]]
        reason = re.search(r'text="([A-Z_]+)"', answer.headers.first("reason"))
        return Heard(
            answer.status,
            reason[1] if reason else "",
            got[-1] if got else "",
            self.agents[got[-1]].invites[-1] if got else None,
            answer.call_id,
        )

    async def record(self, call: Heard) -> Mapping[str, Any]:
        """The record of a call."""
        deadline = time.monotonic() + PATIENCE
        while True:
            row = await self.database.fetchrow(
                "SELECT code, reason, gross, kind, media_mode, duration FROM cdr WHERE a_call_id = $1 AND is_last",
                call.call_id,
            )
            if row is not None:
                return dict(row)
            assert time.monotonic() < deadline, "the record was not written"
            await asyncio.sleep(0.01)

    async def gets_through(self, address: str) -> None:
        """Wait until calls from an address are answered: money is known a moment after it was booked."""
        deadline = time.monotonic() + PATIENCE
        while (await self.call(address=address)).status != 200:
            assert time.monotonic() < deadline, f"no call from {address} gets through"


@asynccontextmanager
async def opened(switch: Switch) -> AsyncIterator[Scene]:
    """The scene with a customer that has money, a device, a SIP user, a dialing route and a DID."""
    database = await asyncpg.connect(host=str(switch.run_directory), user="softswitch", database="softswitch")
    base = f"http://127.0.0.1:{switch.panel_port}"
    agents = {
        "carrier": carrier_on(switch),
        "other carrier": carrier_on(switch, 1),
        "exchange": Answerer(ADDRESS),
        "second exchange": Answerer(ADDRESS),
        "phone": Answerer(PHONE_ADDRESS),
    }
    async with aiohttp.ClientSession(base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        scene = Scene(switch, http, database, ControlClient(switch.run_directory), agents)
        try:
            for agent in agents.values():
                await agent.open()
            for statement in _SETUP:
                await database.execute(statement)
            await _set_up(scene)
            yield scene
        finally:
            await database.execute(_TAKE_DOWN)
            await scene.settled()
            for agent in agents.values():
                agent.close()
            await database.close()


async def _set_up(scene: Scene) -> None:
    await scene.database.execute(
        "INSERT INTO panel_user (login, password_hash, role) VALUES ('effect', $1, 'administrator')", HASH
    )
    found = re.search(r'name="csrf-token" content="([^"]+)"', await scene.page("/sign-in"))
    assert found
    async with scene.http.post("/sign-in", data={FIELD: found[1], "login": "effect", "password": PASSWORD}) as response:
        assert response.status == 200
    scene.code = await scene.add_customer("One")
    await scene.pay(scene.code, "add_balance", "50")
    port = str(scene.agents["exchange"].port)
    await scene.send(f"/customers/{scene.code}/ip-devices", {**DEVICE, "port": port})
    _, text = await scene.send(f"/customers/{scene.code}/sip-users", USER, status=200)
    secret = re.search(r"Password\s+(\S+)", text)
    assert secret
    scene.secret = secret[1]
    (scene.device_id,), (scene.user_id,) = await scene.items("ip-devices"), await scene.items("sip-users")
    await scene.database.execute(
        "WITH made AS (INSERT INTO did (number, account_id) SELECT $1, id FROM account WHERE code = $2 RETURNING id)"
        " INSERT INTO did_destination (did_id, kind, ip_device_id) SELECT made.id, 'ip_device', $3 FROM made",
        DID,
        scene.code,
        int(scene.device_id),
    )
    await scene.settled()
    await scene.gets_through(ADDRESS)
