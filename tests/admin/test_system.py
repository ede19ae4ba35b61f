"""The pages Health and Settings."""

import re
import time

from admin.keys import ORIGINS, PICTURES, POOL
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.worker import Worker


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


class TestHealth:
    def test_every_process_is_shown(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.data.beat()
            revision = await panel.data.connection.fetchval("SELECT revision FROM config_revision")
            panel.worker.facts = {
                "revision": revision - 2,
                "started_at": time.time() - 3600,
                "instance": "sip-1:abc",
                "journal_waiting": 2_500_000,
                "journal_limit": 8_000_000_000,
                "refusals_waiting": 3,
                "ban_path": "kernel",
                "bans": 41,
            }
            panel.worker.add_call("01890000-0000-7000-8000-000000000001", [1])
            other = Worker(panel.worker.path.parent, "sip-2")
            other.path.touch()
            await panel.signed_in()
            answer = await panel.get("/health")
            assert 'href="/health" aria-current="page"' in " ".join(answer.text.split())
            text = words(answer.text)
            first = text[text.index("SIP worker sip-1") : text.index("SIP worker sip-2")]
            for part in ("Up", "Calls now 1", f"revision {revision - 2} 2 behind", "Live store answers"):
                assert part in first
            assert "2.5 MB of 8000.0 MB, then new calls are refused" in first
            assert "Bans 41 dropped in kernel" in first
            assert "SIP worker sip-2 Does not answer" in text
            assert re.search(r" w last seen .* Writes", text)
            assert f"Configuration revision {revision:,}" in text

        play(scenario)

    def test_silent_writer_and_stopping_worker_are_told(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.data.beat(age=60)
            panel.worker.facts = {"draining": True}
            await panel.signed_in()
            text = words((await panel.get("/health")).text)
            assert "SIP worker sip-1 Being stopped" in text
            assert "wait for it Silent" in text
            assert "Not all up" in text

        play(scenario)

    def test_page_says_what_is_away(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.path.unlink()
            await panel.signed_in()
            text = words((await panel.get("/health")).text)
            assert "SIP workers None runs on this machine." in text
            assert "Record writers None has ever run." in text
            panel.app[PICTURES]._entries.clear()
            await panel.app[POOL].close()
            assert (await panel.get("/health")).status == 503

        play(scenario)


class TestSettings:
    def test_every_setting_is_shown_with_where_it_came_from(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.app[ORIGINS]["panel", "lock_after"] = "SOFTSWITCH_PANEL__LOCK_AFTER"
            await panel.signed_in()
            answer = await panel.get("/settings")
            assert 'href="/settings" aria-current="page"' in " ".join(answer.text.split())
            text = words(answer.text)
            assert "ends after so long without a request 3600 s default" in text
            assert re.search(r"after which a login is locked 3 SOFTSWITCH_PANEL__LOCK_AFTER", text)
            assert "postgresql://" in text

        play(scenario, lock_after=3)

    def test_media_engines_are_shown_and_a_silent_one_is_a_fault(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.data.beat()
            names = ("own", "udp://192.0.2.1:2223")
            panel.worker.facts = {"engines": dict.fromkeys(names, True)}
            up = {"up": True, "reason": "", "sessions": 3, "ports": 12, "kernel_streams": 2, "plays": 1}
            up |= {"packets_per_second": 150, "path": "kernel"}
            silent = {"name": names[1], "up": False, "reason": "it does not answer"}
            panel.worker.engines = [{"name": "own", **up}, {**up, "name": names[1], "ports": None, "path": None}]
            await panel.signed_in()
            text = words((await panel.get("/health")).text)
            assert "Media engines 2 of 2 answer Up" in text
            assert "Media engine own Up Sessions 3 Packets a second 150 In the kernel 2 Ports in use 12" in text
            assert "Ports in use –" in text
            panel.app[PICTURES].__init__()  # type: ignore[misc]
            panel.worker.facts["engines"][names[1]] = False
            panel.worker.engines[1] = silent
            text = words((await panel.get("/health")).text)
            assert f"Media engines {names[1]} does not answer Down" in text
            assert f"Media engine {names[1]} Silent Calls go to the others" in text
            assert "Not all up" in text

        play(scenario)
