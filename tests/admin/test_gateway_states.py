"""Gateway states: what the workers know of each, and who sees it."""

import re
import time
from typing import Any

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.worker import Worker


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def row(text: str, name: str) -> str:
    found: str = next(part for part in text.split("<tr>")[1:] if name in part)
    return words(found.partition("</tr>")[0])


def registration(gateway: str, gateway_id: int, state: str, **changed: Any) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "gateway_id": gateway_id,
        "user": "trunk",
        "state": state,
        "registered_until": time.time() + 600 if state == "registered" else None,
        "next_at": time.time() + 300,
        "reason": "",
        **changed,
    }


async def four_gateways(panel: Panel) -> dict[str, int]:
    data = panel.data
    first, second = await data.carrier("CARR0001", "Carrier one"), await data.carrier("CARR0002", "Carrier two")
    await data.carrier("CARR0003", "Carrier without")
    return {
        "north": await data.gateway(first, "north"),
        "south": await data.gateway(first, "south"),
        "off": await data.gateway(second, "off-gateway", "inactive"),
        "named": await data.gateway(second, "named"),
    }


class TestList:
    def test_support_sees_what_the_workers_know(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            ids = await four_gateways(panel)
            panel.worker.gateways = {
                "down": {str(ids["south"]): 3600.0},
                "servers": {"named": ["udp:192.0.2.8:5060", "udp:192.0.2.9:5060"]},
                "sessions": {str(ids["north"]): 17},
            }
            panel.worker.carrier_registrations = [
                registration("north", ids["north"], "registered"),
                registration("south", ids["south"], "failed", reason="403 Forbidden"),
            ]
            await panel.signed_in("support")
            text = (await panel.get("/gateway-states")).text
            assert 'href="/gateway-states" aria-current="page"' in " ".join(text.split())
            assert re.search(r"Carrier one · CARR0001 Up .* Registered trunk until .* 17 no limit", row(text, "north<"))
            assert re.search(
                r"Down since \d+ .* Not registered trunk, asks again .* 403 Forbidden", row(text, "south<")
            )
            assert re.search(r"Off .* none wanted 0", row(text, "off-gateway<"))
            assert "udp:192.0.2.8:5060 udp:192.0.2.9:5060" in row(text, "named<")
            assert "Carrier without · CARR0003" in row(text, "No gateway")

        play(scenario)

    def test_gateway_that_is_down_at_one_worker_of_two_is_told_so(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            ids = await four_gateways(panel)
            other = Worker(panel.worker.path.parent, "sip-2")
            await other.start()
            try:
                panel.worker.gateways["down"] = {str(ids["south"]): 60.0}
                for worker, count, state in ((panel.worker, 3, "elsewhere"), (other, 4, "registered")):
                    worker.gateways["sessions"] = {str(ids["south"]): count}
                    worker.carrier_registrations = [registration("south", ids["south"], state)]
                await panel.signed_in()
                shown = row((await panel.get("/gateway-states")).text, "south<")
                assert "Down at 1 of 2 workers" in shown
                assert " Registered " in shown
                assert " 7 no limit" in shown
            finally:
                await other.stop()

        play(scenario)

    def test_nothing_is_claimed_when_no_worker_answers(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await four_gateways(panel)
            panel.worker.path.unlink()
            await panel.signed_in()
            text = (await panel.get("/gateway-states")).text
            assert "nobody knows which gateways are up" in text
            assert "Unknown" in row(text, "north<")
            assert "– no limit" in row(text, "north<")

        play(scenario)

    def test_list_is_narrowed_by_each_filter(self, play: Play) -> None:
        names = {
            "": ["north", "south", "named", "off-gateway"],
            "state=down": ["south"],
            "state=up": ["north", "named"],
            "state=off": ["off-gateway"],
            "q=two": ["named", "off-gateway"],
            "q=NOR": ["north"],
            "q=%25": [],
        }

        async def scenario(panel: Panel) -> None:
            ids = await four_gateways(panel)
            panel.worker.gateways["down"] = {str(ids["south"]): 5.0, str(ids["off"]): 5.0}
            await panel.signed_in()
            for query, expected in names.items():
                text = (await panel.get(f"/gateway-states?{query}")).text
                assert re.findall(r'call-records\?gateway=([a-z-]+)"', text) == expected, query

        play(scenario)

    def test_pages_follow_each_other_both_ways(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            carrier = await panel.data.carrier("CARR0001", "Carrier one")
            for number in range(60):
                await panel.data.gateway(carrier, f"gateway-{number:02}")
            await panel.signed_in()
            first = await panel.get("/gateway-states")
            onward = first.next_page()
            assert onward is not None
            second = await panel.get(onward)
            numbers = [re.findall(r">gateway-(\d\d)<", answer.text) for answer in (first, second)]
            assert (numbers[0][0], numbers[0][-1], numbers[1][0], numbers[1][-1]) == ("00", "49", "50", "59")
            back = second.next_page("Previous")
            assert back is not None
            assert re.findall(r">gateway-(\d\d)<", (await panel.get(back)).text) == numbers[0]

        play(scenario)


def test_nobody_else_sees_a_carrier(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("RESE0001", kind="reseller")
        await four_gateways(panel)
        for role in ("accounts", "reseller", "customer"):
            panel.forget()
            await panel.signed_in(role, account if role != "accounts" else None, login=role)
            answer = await panel.get("/gateway-states")
            assert answer.status == 404
            assert "north" not in answer.text
            assert 'href="/gateway-states"' not in (await panel.get("/")).text

    play(scenario)
