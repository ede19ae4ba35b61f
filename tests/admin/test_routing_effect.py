"""The next call, through a whole driver on a wire, goes as the panel's carriers, gateways, routes and DIDs say."""

from decimal import Decimal
from pathlib import Path

from b2bua.routing.gateway import START as GATEWAY
from b2bua.routing.route import ENTRY_START, START
from rating.funds import funds_key, micros_down
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_call_effect import snapshot
from tests.b2bua.call.rig import CALLER, CARRIERS, DEVICE, SWITCH, Rig, running_rig
from tests.b2bua.routing.test_carrier import TYPED as CARRIER
from tests.support.legs import WiredAnswerer
from tests.support.policy import insert, insert_rate

CALLED = "442079460000"
DID = "493023125001"


async def customer(panel: Panel) -> int:
    """A customer with a price for 44, with a caller and a telephone at fixed addresses; and a carrier's tariff."""
    row = panel.data.connection
    tariffs = {}
    for name, kind, price in (("retail", "customer", "0.06"), ("wholesale", "carrier", "0.03")):
        tariffs[name] = await insert(row, "tariff", name=name, kind=kind, currency="EUR")
        card = await insert(row, "ratecard", name=name)
        await insert(row, "tariff_ratecard", tariff_id=tariffs[name], ratecard_id=card)
        await insert_rate(row, card, "44", price)
    account = await panel.data.account("CUST0001")
    await row.execute("UPDATE account SET tariff_id = $2 WHERE id = $1", account, tariffs["retail"])
    for address in (CALLER, DEVICE):
        await insert(row, "ip_device", account_id=account, address=address)
    return account


class Calls:
    """The panel and a driver: what is changed in one holds for the next call of the other."""

    def __init__(self, panel: Panel, rig: Rig, account: int) -> None:
        self.panel, self.rig = panel, rig
        rig.store.funds[funds_key(account, account)] = {"base": micros_down(Decimal(1000))}

    async def change(self, place: str, **typed: str) -> str:
        """Send a form of the panel; return where it leads."""
        answer = await self.panel.post(place, typed, form="/carriers")
        assert answer.status == 303, (place, answer.status)
        return answer.location

    async def call(self, *, comes_in: bool = False) -> tuple[str, str]:
        """Call out, or a DID; the last answer to the caller, and where an INVITE of ours went to (the last)."""
        rig = self.rig
        rig.snapshot = await snapshot(self.panel)
        rig.load()
        before = len(rig.wire.carried)
        caller = rig.dial_in(DID) if comes_in else None
        if caller is None:
            rig.dial(CALLED)
        source = CARRIERS[0] if comes_in else CALLER
        rig.wire.settle()
        carried = rig.wire.carried[before:]
        answers = [each.label for each in carried if each.source == SWITCH and each.target == source]
        invites = [each for each in carried if each.source == SWITCH and each.label == "INVITE"]
        rig.hang_up(caller or rig.caller)
        final = next(label for label in reversed(answers) if label.endswith("INVITE") and not label.startswith("1"))
        return final, f"{invites[-1].target}\n{invites[-1].data.decode()}" if invites else ""


def test_next_call_goes_as_the_panel_says(play: Play, tmp_path: Path) -> None:
    async def scenario(panel: Panel) -> None:
        account = await customer(panel)
        await panel.signed_in()
        with running_rig(tmp_path / "rig") as rig:
            calls = Calls(panel, rig, account)
            rig.carrier(1)
            rig.carrier(2)
            WiredAnswerer(rig.wire, DEVICE)
            await calls.change("/carriers/new", **CARRIER, code="CARR0001", tariff="wholesale")
            gateway = {**GATEWAY, "port": "5060", "probe_interval": "0"}
            await calls.change("/carriers/CARR0001/gateways/new", **gateway, name="g1", host=CARRIERS[0])
            route = (await calls.change("/routes/new", **START, name="europe")).removesuffix("/entries")
            await calls.change(f"{route}/entries", **ENTRY_START, prefix="44", carrier="CARR0001")
            await calls.change("/customers/CUST0001/dialing-routes", pattern="%", route="europe")
            final, invite = await calls.call()
            assert (final, invite.split("\n")[0]) == ("200 INVITE", CARRIERS[0])

            page = f"/carriers/CARR0001/gateways/{await panel.data.connection.fetchval('SELECT id FROM gateway')}"
            await calls.change(page, **gateway, host=CARRIERS[1], added_headers="X-Trunk: 7", from_user="4930900")
            await calls.change("/carriers/CARR0001/destination-rules", rule="44|%=>99#%")
            final, invite = await calls.call()
            assert (final, invite.split("\n")[0]) == ("200 INVITE", CARRIERS[1])
            for part in ("X-Trunk: 7", "4930900@", f"99%23{CALLED[2:]}@"):
                assert part in invite, invite

            for place in ("/carriers/CARR0001/status", f"{page}/status", f"{route}/status"):
                await calls.change(place, status="inactive")
                final, invite = await calls.call()
                assert (final, invite) == ("404 INVITE", ""), place
                await calls.change(place, status="active")
            assert (await calls.call())[0] == "200 INVITE"

    play(scenario)


def test_next_call_to_a_did_goes_where_the_panel_leads_it(play: Play, tmp_path: Path) -> None:
    async def scenario(panel: Panel) -> None:
        account = await customer(panel)
        await panel.signed_in()
        with running_rig(tmp_path / "rig") as rig:
            calls = Calls(panel, rig, account)
            WiredAnswerer(rig.wire, DEVICE)
            carrier = await panel.data.carrier("CARR0001", "One")
            await panel.data.connection.execute(
                "INSERT INTO gateway (carrier_id, name, host) VALUES ($1, 'g1', $2)", carrier, CARRIERS[0]
            )
            assert (await calls.call(comes_in=True))[0].startswith("404")
            await calls.change("/dids/new", numbers=DID, account="CUST0001", carrier="CARR0001", status="active")
            await calls.change(f"/dids/{DID}/destinations", kind="ip_device", target=DEVICE)
            final, invite = await calls.call(comes_in=True)
            assert (final, invite.split("\n")[0]) == ("200 INVITE", DEVICE)
            await calls.change("/dids/many", act="inactive", number=DID)
            final, invite = await calls.call(comes_in=True)
            assert (final.startswith("404"), invite) == (True, "")
            await calls.change("/dids/many", act="active", number=DID)
            await calls.change("/carriers/CARR0001/did-destination-rules", rule="49%=>493%")
            assert (await calls.call(comes_in=True))[0].startswith("404")

    play(scenario)
