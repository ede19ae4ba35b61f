"""What is saved in the panel is what the next call is decided by: the workers' snapshot holds it."""

from pathlib import Path

from b2bua.policy.packed_tables import PackedTables
from b2bua.policy.snapshot import Snapshot
from b2bua.policy.tables import load_tables
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import stock
from tests.b2bua.account.test_customer import TYPED

PAGE = "/customers/CUST0101"


async def snapshot(panel: Panel) -> Snapshot:
    made, tables, row = Snapshot(), PackedTables(Path("/nonexistent")), panel.data.connection
    async with row.transaction(isolation="repeatable_read", readonly=True):
        await load_tables(row, made, await tables.prepare(row), None)
    return made


def test_every_limit_and_switch_of_the_form_reaches_the_decision(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.connection.execute("INSERT INTO route (name) VALUES ('standard')")
        await panel.data.connection.execute("INSERT INTO reseller_route SELECT $1, id FROM route", accounts["reseller"])
        await panel.signed_in()
        typed = {
            **TYPED,
            **{"max_sessions": "7", "cps": "3", "max_duration": "1:30", "decimals": "2", "rounding": "CEIL"},
            **{"codec_check": "yes", "codecs": "PCMA, G729", "with_media": "yes", "loss_guard": "yes"},
            **{"tax_flag": "VAT", "tax_1": "5", "tax_2": "2.5", "tax_inclusive": "yes", "cli_by_destination": "yes"},
        }
        assert (await panel.post(PAGE, typed, form=PAGE)).status == 303
        for tab, rule in (("destination-rules", "900%"), ("source-rules", "1%=>%"), ("cli-rules", "44%=>123")):
            await panel.post(f"{PAGE}/{tab}", {"rule": rule}, form=PAGE)
        await panel.post(f"{PAGE}/dialing-routes", {"pattern": "%", "route": "standard"}, form=PAGE)
        taken = await snapshot(panel)
        account = taken.accounts[accounts["own"]]
        assert (account.max_sessions, account.cps, account.max_duration) == (7, 3, 90)
        assert (account.codec_check, list(account.codecs.names)) == (True, ["PCMA", "G729"])
        assert (account.with_media, account.loss_guard) == (True, True)
        billing = account.billing
        assert (billing.decimals, billing.rounding, billing.tax_inclusive) == (2, "CEIL", True)
        assert [str(percent) for percent in billing.tax_percents] == ["5.0000", "2.5000"]
        tariff = await panel.data.connection.fetchval("SELECT id FROM tariff WHERE name = 'retail'")
        assert account.tariff_id == tariff
        assert account.rules.destination.translate("9001").code == "BLOCKED"
        assert account.rules.cli.rewrite("4420", "55")[0] == "123"
        typed |= {"max_sessions": "none", "max_duration": ""}
        typed.pop("cli_by_destination")
        await panel.post(PAGE, typed, form=PAGE)
        await panel.post(f"{PAGE}/status", {"status": "suspended"}, form=PAGE)
        account = (await snapshot(panel)).accounts[accounts["own"]]
        assert (account.max_sessions, account.max_duration, account.status) == (None, None, "suspended")
        assert account.rules.cli.rewrite("4420", "55")[0] == "55"

    play(scenario)
