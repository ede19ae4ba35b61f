"""Live calls: the list, its stream and hanging up."""

import asyncio

from admin.keys import READERS
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, stock

FIRST = "01890000-0000-7000-8000-000000000001"
SECOND = "01890000-0000-7000-8000-000000000002"


async def two_calls(panel: Panel) -> tuple[int, int]:
    first = await panel.data.account("RESL0001", kind="reseller")
    second = await panel.data.account("RESL0002", kind="reseller")
    panel.worker.add_call(FIRST, [first + 100, first])
    panel.worker.add_call(SECOND, [second + 100, second])
    return first, second


def test_administrator_sees_every_call(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await two_calls(panel)
        await panel.signed_in()
        text = (await panel.get("/live-calls")).text
        assert FIRST in text
        assert SECOND in text
        assert "gateway-one" in text
        assert ">0:42<" in text

    play(scenario)


def test_reseller_sees_its_own_calls_without_their_carrier(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        first, _ = await two_calls(panel)
        await panel.signed_in("reseller", first)
        text = (await panel.get("/live-calls")).text
        assert FIRST in text
        assert SECOND not in text
        assert "gateway-one" not in text

    play(scenario)


def test_reseller_hangs_up_its_own_call_and_gets_404_for_another(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        first, _ = await two_calls(panel)
        await panel.signed_in("reseller", first)
        assert (await panel.post(f"/live-calls/{SECOND}/hang-up", {}, form="/live-calls")).status == 404
        assert (await panel.post("/live-calls/x/hang-up", {}, form="/live-calls")).status == 404
        assert len(panel.worker.calls) == 2
        answer = await panel.post(f"/live-calls/{FIRST}/hang-up", {}, form="/live-calls")
        assert (answer.status, answer.location) == (303, "/live-calls")
        assert [call["call_id"] for call in panel.worker.calls] == [SECOND]
        assert "Call to 4930901820 hung up" in (await panel.get("/live-calls")).text

    play(scenario)


def test_administrator_gets_a_toast_when_hanging_up_from_the_list(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await two_calls(panel)
        await panel.signed_in()
        headers = {"HX-Request": "true"}
        answer = await panel.post(f"/live-calls/{FIRST}/hang-up", {}, headers, form="/live-calls")
        assert answer.status == 204
        assert '"Call to 4930901820 hung up"' in answer.header("HX-Trigger")
        answer = await panel.post(f"/live-calls/{FIRST}/hang-up", {}, headers, form="/live-calls")
        assert "already ended" in answer.header("HX-Trigger")
        [entry] = await entries(panel, "call.hang_up")
        assert (entry["login"], entry["object"]) == ("somebody", f"call {FIRST}")

    play(scenario)


def test_reseller_hangs_up_all_calls_of_a_customer_and_of_no_other(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        panel.worker.add_call(FIRST, panel.data.chains[accounts["own"]])
        panel.worker.add_call(SECOND, panel.data.chains[accounts["foreign"]])
        await panel.signed_in("reseller", accounts["reseller"])
        page = "/customers/CUST0101"
        assert (await panel.post("/customers/CUST0102/hang-up", {}, form=page)).status == 404
        assert (await panel.post(f"{page}/hang-up", {}, form=page)).location == page
        assert [call["call_id"] for call in panel.worker.calls] == [SECOND]

    play(scenario)


def test_customer_may_look_but_not_hang_up(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        panel.worker.add_call(FIRST, [account])
        await panel.signed_in("customer", account)
        text = (await panel.get("/live-calls")).text
        assert FIRST in text
        assert "Hang up" not in text
        assert (await panel.post(f"/live-calls/{FIRST}/hang-up", {}, form="/live-calls")).status == 404
        assert len(panel.worker.calls) == 1

    play(scenario)


def test_stream_sends_the_whole_list_and_ends_when_the_panel_stops(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await two_calls(panel)
        await panel.signed_in()
        async with asyncio.timeout(10):
            response = await panel.client.get("/live-calls/stream")
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert response.headers["Cache-Control"] == "no-store"
            assert "Content-Security-Policy" in response.headers
            message = (await response.content.readuntil(b"\r\n\r\n")).decode()
            assert message.startswith('data: <hx-partial hx-target="#calls"')
            assert FIRST in message
            assert "csrf_token" not in message
            await panel.app.shutdown()
            assert await response.content.read() == b""

    play(scenario)


def test_stream_is_refused_when_a_user_has_too_many(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        from admin.live import STREAMS_PER_USER

        await panel.signed_in()
        user_id = await panel.data.connection.fetchval("SELECT id FROM panel_user")
        panel.app[READERS]._open[user_id] = STREAMS_PER_USER
        assert (await panel.get("/live-calls/stream")).status == 429
        assert (await panel.get("/overview/stream")).status == 429
        panel.app[READERS]._open.clear()

    play(scenario)
