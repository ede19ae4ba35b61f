"""Bans: the list, its pages and search, adding and lifting one."""

import re
from urllib.parse import quote

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors

SOURCE = "203.0.113.9"
HTMX = {"HX-Request": "true"}


def lifting(address: str) -> str:
    return f"/bans/lift?source={quote(address, safe='')}"


class TestList:
    def test_staff_sees_every_ban_with_who_and_why(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.add_ban(SOURCE, by="command line: root", reason="<floods>")
            panel.worker.add_ban("alice@198.51.100.3", reason="failed authentications")
            await panel.signed_in("support")
            text = (await panel.get("/bans")).text
            assert 'href="/bans" aria-current="page"' in " ".join(text.split())
            for part in (SOURCE, "command line: root", "&lt;floods&gt;", "only this SIP user is refused", "2 bans"):
                assert part in text
            assert text.index("alice@") < text.index(SOURCE)

        play(scenario)

    def test_search_narrows_and_empty_lists_say_why(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            assert "Nobody is banned" in (await panel.get("/bans")).text
            panel.worker.add_ban(SOURCE)
            panel.worker.add_ban("198.51.100.3")
            text = (await panel.get("/bans?q=203.0")).text
            assert SOURCE in text
            assert "198.51.100.3" not in text
            part = (await panel.get("/bans?q=nothing", {"HX-Request-Type": "partial"})).text
            assert "No ban matches" in part
            assert "<html" not in part

        play(scenario)

    def test_pages_follow_each_other_both_ways(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            for number in range(120):
                panel.worker.add_ban(f"198.51.100.{number}", age=1000 - number)
            await panel.signed_in()

            async def addresses(address: str | None) -> tuple[list[str], str | None, str | None]:
                assert address is not None
                answer = await panel.get(address)
                found = re.findall(r'mono">198\.51\.100\.(\d+)<', answer.text)
                return found, answer.next_page(), answer.next_page("Previous")

            first, onward, none = await addresses("/bans")
            assert (first[0], first[-1], none) == ("119", "70", None)
            second, onward, back = await addresses(onward)
            assert (second[0], second[-1]) == ("69", "20")
            third, end, _ = await addresses(onward)
            assert (third[0], third[-1], end) == ("19", "0", None)
            assert (await addresses(back))[0] == first

        play(scenario)

    def test_page_says_so_when_the_store_or_every_worker_is_away(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            panel.worker.refused.add("bans")
            answer = await panel.get("/bans")
            assert answer.status == 503
            assert "Bans cannot be listed now" in answer.text
            panel.worker.path.unlink()
            assert "no SIP worker runs on this machine" in (await panel.get("/bans")).text

        play(scenario)


class TestAdd:
    def test_source_is_banned_and_the_log_says_by_whom(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            fields = {"source": SOURCE, "minutes": "90", "reason": "floods us"}
            answer = await panel.post("/bans", fields, form="/bans")
            assert (answer.status, answer.location) == (303, "/bans")
            (ban,) = panel.worker.bans
            assert (ban["seconds"], ban["by"], ban["reason"]) == (5400, "panel: somebody", "floods us")
            assert f"{SOURCE} is banned" in (await panel.get("/bans")).text
            (entry,) = await entries(panel, "ban.add")
            assert (entry["object"], entry["new"]) == (f"source {SOURCE}", {"minutes": 90, "reason": "floods us"})

        play(scenario)

    def test_what_is_no_ban_is_refused_beside_its_field(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            for source, minutes, fault in (
                ("example.com", "5", "is not an address"),
                (SOURCE, "0", "How long must be 1 to"),
                (SOURCE, "x", "How long must be 1 to"),
                (SOURCE, "99999999", "How long must be 1 to"),
            ):
                fields = {"source": source, "minutes": minutes, "reason": "kept as typed"}
                answer = await panel.post("/bans", fields, form="/bans")
                assert answer.status == 422
                assert fault in errors(answer)[0]
                assert "kept as typed" in answer.text
            assert panel.worker.bans == []
            assert await entries(panel, "ban.add") == []

        play(scenario)


class TestLift:
    def test_ban_is_lifted_and_the_log_keeps_what_it_was(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            addresses = [SOURCE, "alice@2001:db8::9"]
            for address in (*addresses, f"{SOURCE}9"):
                panel.worker.add_ban(address)
            await panel.signed_in("support")
            for address in addresses:
                answer = await panel.post(lifting(address), {}, HTMX, form="/bans")
                assert (answer.status, answer.header("HX-Refresh")) == (204, "true")
            assert [ban["address"] for ban in panel.worker.bans] == [f"{SOURCE}9"]
            kept = await entries(panel, "ban.lift")
            assert [entry["object"] for entry in kept] == [f"source {address}" for address in addresses]
            assert kept[0]["old"]["reason"] == "scanner"
            answer = await panel.post(lifting(SOURCE), {}, form="/bans")
            assert answer.status == 303
            assert "was not banned any more" in (await panel.get("/bans")).text
            assert len(await entries(panel, "ban.lift")) == 2

        play(scenario)

    def test_nothing_is_kept_when_no_worker_lifts_it(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.add_ban(SOURCE)
            panel.worker.refused.add("unban")
            await panel.signed_in()
            assert (await panel.post(lifting(SOURCE), {}, form="/bans")).status == 502
            assert await entries(panel, "ban.lift") == []

        play(scenario)


def test_each_role_does_what_it_may_and_no_more(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        panel.worker.add_ban(SOURCE)
        fields = {"source": "198.51.100.3", "minutes": "5"}
        for role in ("support", "accounts", "reseller", "customer"):
            panel.forget()
            await panel.signed_in(role, account if role in {"reseller", "customer"} else None, login=role)
            assert (await panel.post("/bans", fields, form="/")).status == 404
            if role == "support":
                assert "Ban source" not in (await panel.get("/bans")).text
                continue
            assert (await panel.get("/bans")).status == 404
            assert (await panel.post(lifting(SOURCE), {}, form="/")).status == 404
            assert 'href="/bans"' not in (await panel.get("/")).text
        assert len(panel.worker.bans) == 1

    play(scenario)
