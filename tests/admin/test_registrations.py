"""Registrations: the list, its pages and search, and removing one."""

import re
from urllib.parse import quote

import pytest

from admin.permissions import ROLE_PERMISSIONS, Permission
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries

HTMX = {"HX-Request": "true"}


def removal(row: dict[str, object]) -> str:
    """Address that removes a registration."""
    return f"/registrations/{row['sip_user_id']}/remove?contact={quote(str(row['contact']), safe='')}"


async def two_phones(panel: Panel) -> tuple[int, dict[str, object], dict[str, object]]:
    """A reseller, a telephone of a customer of its, and one of somebody else's."""
    first = await panel.data.account("RESL0001", kind="reseller")
    second = await panel.data.account("RESL0002", kind="reseller")
    alice = panel.worker.add_registration("alice", [first + 100, first])
    bob = panel.worker.add_registration("bob", [second + 100, second], account="CUST0002", source="198.51.100.3:5060")
    return first, alice, bob


class TestList:
    def test_staff_sees_every_telephone_with_what_is_known_of_it(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await two_phones(panel)
            await panel.signed_in("support")
            text = (await panel.get("/registrations")).text
            assert 'href="/registrations" aria-current="page"' in " ".join(text.split())
            for known in ("alice", "bob", "sip:alice@192.168.1.7:5060", "203.0.113.7:40123", "UDP", "Desk 3000"):
                assert known in text
            assert 'href="/call-records?account=CUST0001"' in text
            assert text.count("<time datetime=") == 6  # registered, expires and last answer of each
            assert "2 registrations" in text

        play(scenario)

    def test_reseller_sees_its_own_telephones_alone(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            first, _, _ = await two_phones(panel)
            await panel.signed_in("reseller", first)
            text = (await panel.get("/registrations")).text
            assert "alice" in text
            assert "bob" not in text
            assert "1 registration\n" in text or "1 registration<" in text

        play(scenario)

    @pytest.mark.parametrize("role", ["customer", "accounts"])
    def test_others_do_not_find_the_page(self, play: Play, role: str) -> None:
        async def scenario(panel: Panel) -> None:
            account = await panel.data.account("CUST0001")
            row = panel.worker.add_registration("alice", [account])
            await panel.signed_in(role, account if role == "customer" else None)
            assert (await panel.get("/registrations")).status == 404
            assert (await panel.post(removal(row), {}, form="/")).status == 404
            assert 'href="/registrations"' not in (await panel.get("/")).text
            assert len(panel.worker.registrations) == 1

        play(scenario)
        assert Permission.REGISTRATIONS_READ not in ROLE_PERMISSIONS[role]

    def test_way_to_each_telephone_is_shown(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            add = panel.worker.add_registration
            add("a", [1])
            add("b", [1], last_seen=None)
            add("c", [1], unanswered=3)
            add("d", [1], behind_nat=False, keep_alive="", last_seen=None)
            add("e", [1], keep_alive="", last_seen=None)
            await panel.signed_in()
            text = " ".join((await panel.get("/registrations")).text.split())
            badges = [part.partition("<")[0].strip() for part in text.split('aria-hidden="true"></span>')[1:]]
            assert badges == ["Answers", "Kept open", "Silent", "No NAT", "Behind NAT, not kept open"]

        play(scenario)

    def test_search_narrows_the_list_and_empty_lists_say_why(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            assert "No telephone is registered" in (await panel.get("/registrations")).text
            await two_phones(panel)
            text = (await panel.get("/registrations?q=198.51.100.3")).text
            assert "bob" in text
            assert "alice" not in text
            text = (await panel.get("/registrations?q=%3Cnobody%3E")).text
            assert "No registration matches" in text
            assert "“&lt;nobody&gt;”" in text
            part = (await panel.get("/registrations?q=alice", {"HX-Request-Type": "partial"})).text
            assert "alice" in part
            assert "<html" not in part

        play(scenario)

    def test_pages_follow_each_other_both_ways(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            for number in range(120):
                panel.worker.add_registration(f"user{number:03}", [1])
            await panel.signed_in()

            async def names(address: str) -> tuple[list[str], str | None, str | None]:
                answer = await panel.get(address)
                found = re.findall(r">(user\d{3})<", answer.text)
                assert "120 registrations" in answer.text
                return found, answer.next_page(), answer.next_page("Previous")

            first, onward, none = await names("/registrations")
            assert (first[0], first[-1], none) == ("user000", "user049", None)
            assert onward is not None
            second, onward, back = await names(onward)
            assert (second[0], second[-1]) == ("user050", "user099")
            assert onward is not None
            assert back is not None
            third, end, _ = await names(onward)
            assert (third[0], third[-1], end) == ("user100", "user119", None)
            assert (await names(back))[0] == first

        play(scenario)


class TestRemove:
    def test_reseller_removes_its_own_and_gets_404_for_another(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            first, alice, bob = await two_phones(panel)
            await panel.signed_in("reseller", first)
            for address in (
                removal(bob),
                removal(alice | {"sip_user_id": bob["sip_user_id"]}),
                removal(alice | {"contact": "sip:alice@elsewhere"}),
                removal(alice | {"sip_user_id": "x"}),
                f"/registrations/{alice['sip_user_id']}/remove",
            ):
                assert (await panel.post(address, {}, form="/registrations")).status == 404
            assert len(panel.worker.registrations) == 2
            answer = await panel.post(removal(alice), {}, form="/registrations")
            assert (answer.status, answer.location) == (303, "/registrations")
            assert [row["username"] for _, row in panel.worker.registrations] == ["bob"]
            assert "Registration of alice removed" in (await panel.get("/registrations")).text
            [entry] = await entries(panel, "registration.remove")
            assert (entry["login"], entry["object"]) == ("somebody", "registration of alice")
            assert entry["old"]["contact"] == "sip:alice@192.168.1.7:5060"

        play(scenario)

    def test_list_is_shown_again_where_it_was_when_a_script_asks(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            _, alice, _ = await two_phones(panel)
            await panel.signed_in()
            answer = await panel.post(removal(alice), {}, HTMX, form="/registrations")
            assert (answer.status, answer.header("HX-Refresh")) == (204, "true")
            assert "Registration of alice removed" in (await panel.get("/registrations?q=bob")).text
            answer = await panel.post(removal(alice), {}, HTMX, form="/registrations")
            assert answer.status == 204
            assert "was not registered any more" in (await panel.get("/registrations")).text

        play(scenario)

    def test_nothing_is_removed_without_the_token(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            _, alice, _ = await two_phones(panel)
            await panel.signed_in()
            assert (await panel.post_raw(removal(alice), {})).status == 403
            assert len(panel.worker.registrations) == 2

        play(scenario)

    def test_fault_is_told_when_no_worker_can_do_it(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            _, alice, _ = await two_phones(panel)
            await panel.signed_in()
            panel.worker.refused.add("remove_registration")
            answer = await panel.post(removal(alice), {}, HTMX, form="/registrations")
            assert answer.status == 502
            assert answer.text.startswith("That did not work.")

        play(scenario)

    def test_confirmation_names_the_telephone_and_what_comes_of_it(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.add_registration("alice", [1])
            await panel.signed_in()
            text = (await panel.get("/registrations")).text
            assert 'hx-confirm="No call reaches alice at 203.0.113.7:40123 until' in text
            assert 'data-confirm-verb="Remove"' in text

        play(scenario)
