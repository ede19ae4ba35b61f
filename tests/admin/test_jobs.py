"""Long jobs: cancelled, broken off, and as many as may be."""

import asyncio
import time
from datetime import timedelta
from uuid import uuid4

import pytest

from admin import export
from admin.jobs import TooManyJobs
from admin.keys import JOBS, POOL
from admin.stores import jobs
from admin.stores.users import User
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries
from tests.admin.test_imports import DECK, card_with_rates, ended, prices, send


async def status(panel: Panel, job_id: int, wanted: str) -> str:
    """The state of a job, once it is the wanted one or time is up."""
    deadline, found = time.monotonic() + 30, ""
    while found != wanted and time.monotonic() < deadline:
        found = await panel.data.connection.fetchval("SELECT status FROM job WHERE id = $1", job_id)
        await asyncio.sleep(0.05)
    return found


def test_import_that_is_cancelled_changes_nothing(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        looked = await send(panel, card, DECK)
        await ended(panel, looked)
        change = panel.data.connection.transaction()
        await change.start()
        # The import waits for the ratecard as long as somebody else has it.
        await panel.data.connection.execute("SELECT FROM ratecard WHERE id = $1 FOR UPDATE", card)
        job = await panel.post(f"{looked.location}/import", {}, form="/jobs")
        job_id = int(job.location.rpartition("/")[2])
        text = (await panel.get(job.location)).text
        assert 'class="btn sw-jobs"' in text
        deadline = time.monotonic() + 30
        while "Comparing" not in text and time.monotonic() < deadline:
            text = (await panel.get(job.location, {"HX-Request-Type": "partial"})).text
        assert ("Comparing" in text, 'hx-trigger="every 1s"' in text, "Cancel job" in text) == (True, True, True)
        await panel.post(f"{job.location}/cancel", {}, form="/jobs")
        assert await status(panel, job_id, "cancelled") == "cancelled"
        await change.rollback()
        assert await prices(panel) == {"44": "0.01", "33": "0.01"}
        assert len(await entries(panel, "job.cancel")) == 1
        assert 'class="btn sw-jobs"' not in (await panel.get("/jobs")).text

    play(scenario)


def test_job_of_a_panel_that_died_is_told_failed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        rows = [
            await panel.data.connection.fetchval(
                """
                INSERT INTO job (kind, status, title, login, ratecard_id, instance, beat_at)
                VALUES ('import', 'running', 'Import: dead', 'root', $1, $2, now() - interval '30 s') RETURNING id
                """,
                card,
                uuid4(),
            )
            for _ in range(2)
        ]
        # The second one had committed before it died.
        await panel.data.connection.execute(
            """
            INSERT INTO rate_import (ratecard_id, file_name, by_whom, revision, rows_new, rows_changed, rows_removed)
            VALUES ($1, 'deck.csv', $2, 1, 7, 0, 0)
            """,
            card,
            f"panel: root, job {rows[1]}",
        )
        await panel.app[JOBS].look_after()
        assert await status(panel, rows[0], "failed") == "failed"
        assert jobs.DIED in (await panel.get(f"/jobs/{rows[0]}")).text
        assert await status(panel, rows[1], "finished") == "finished"
        assert "Undo import" in (await panel.get(f"/jobs/{rows[1]}")).text

    play(scenario)


def test_stopping_panel_ends_its_jobs_and_says_so(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        change = panel.data.connection.transaction()
        await change.start()
        await panel.data.connection.execute("SELECT FROM ratecard WHERE id = $1 FOR UPDATE", card)
        looked = await send(panel, card, DECK)
        job_id = int(looked.location.rpartition("/")[2])
        assert await status(panel, job_id, "running") == "running"
        await panel.app[JOBS].stop()
        await change.rollback()
        row = await panel.data.connection.fetchrow("SELECT status, fault FROM job WHERE id = $1", job_id)
        assert tuple(row) == ("failed", jobs.STOPPED)

    play(scenario)


def test_one_login_has_three_unfinished_jobs_at_most(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        runner = panel.app[JOBS]
        card = await card_with_rates(panel)
        await panel.signed_in()
        user = await panel.data.connection.fetchval("SELECT id FROM panel_user")
        change = panel.data.connection.transaction()
        await change.start()
        await panel.data.connection.execute("SELECT FROM ratecard WHERE id = $1 FOR UPDATE", card)
        for _ in range(3):
            assert (await send(panel, card, DECK)).status == 303
        answer = await send(panel, card, DECK)
        assert (answer.status, "3 jobs that are not finished" in answer.text) == (422, True)
        with pytest.raises(TooManyJobs):
            runner.refuse_more(user)
        assert "3<span" in (await panel.get("/jobs")).text
        waiting = await panel.data.connection.fetchval("SELECT max(id) FROM job")
        await panel.post(f"/jobs/{waiting}/cancel", {}, form="/jobs")
        assert await status(panel, waiting, "cancelled") == "cancelled"
        await change.rollback()

    play(scenario)


def test_job_and_its_files_go_after_seven_days(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        runner = panel.app[JOBS]
        card = await card_with_rates(panel)
        await panel.signed_in()
        looked = await send(panel, card, DECK)
        await ended(panel, looked)
        place = runner.place_of(int(looked.location.rpartition("/")[2]))
        await runner._tidy()
        assert (place / "deck").is_file()
        await panel.data.connection.execute("UPDATE job SET ended_at = now() - interval '8 days'")
        await runner._tidy()
        assert not place.exists()
        assert (await panel.get(looked.location)).status == 404

    play(scenario)


def test_progress_is_rows_a_second_and_what_is_left(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        job_id = await panel.data.connection.fetchval(
            """
            INSERT INTO job (kind, status, title, login, ratecard_id, instance, step, part, total, step_at)
            VALUES ('import', 'running', 'Import: x', 'root', $1, $2, 'reading', 0.25, 40000, now() - interval '10 s')
            RETURNING id
            """,
            card,
            panel.app[JOBS].instance,
        )
        text = (await panel.get(f"/jobs/{job_id}")).text
        assert "10,000 of 40,000 rows" in text
        assert "25 % of this step" in text
        user = await panel.data.connection.fetchrow("SELECT id FROM panel_user")
        job = await jobs.find_job(
            panel.app[POOL], User(user["id"], "x", "administrator", None, None, must_change_password=False), str(job_id)
        )
        assert job.step_at is not None
        at = job.step_at + timedelta(seconds=10)
        assert (job.rate(at), job.left(at)) == (1000.0, 30.0)

    play(scenario)


def test_pages_of_jobs_name_the_zone_of_their_times(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.account("CUST0001")
        await panel.signed_in(zone="Asia/Tokyo")
        monkeypatch.setattr(export, "AT_ONCE", 0)
        job = await panel.post("/customers/export-all?format=csv", {}, form="/customers")
        assert "(Asia/Tokyo)" in await ended(panel, job)
        assert "Times in Asia/Tokyo" in (await panel.get("/jobs")).text

    play(scenario)


def test_large_list_is_written_by_a_job_and_a_small_one_at_once(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(panel: Panel) -> None:
        for number in range(5):
            await panel.data.account(f"CUST000{number}")
        await panel.signed_in()
        answer = await panel.post("/customers/export-all?format=csv", {}, form="/customers")
        assert (answer.status, len(answer.text.splitlines())) == (200, 6)
        monkeypatch.setattr(export, "AT_ONCE", 3)
        for kind in ("csv", "xlsx"):
            job = await panel.post(f"/customers/export-all?format={kind}&q=CUST000", {}, form="/customers")
            assert "5 rows" in await ended(panel, job)
            response = await panel.client.get(f"{job.location}/file")
            assert f'filename="customers.{kind}"' in response.headers["Content-Disposition"]
            content = await response.read()
            assert len(content.splitlines()) == 6 if kind == "csv" else content.startswith(b"PK")

    play(scenario)
