"""Long jobs: how far each is, what came of it, and the list of them."""

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from admin import audit, csrf, export, render
from admin.errors import NotFound
from admin.job_process import ERRORS
from admin.keys import JOBS, POOL, USER
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores import jobs
from admin.stores.jobs import Job
from admin.views.customer_frame import address
from rating.deck_cell import NAMES

STATUSES: Final = {
    "waiting": ("mute", "Waiting"),
    "running": ("info", "Running"),
    "finished": ("ok", "Finished"),
    "failed": ("bad", "Failed"),
    "cancelled": ("mute", "Cancelled"),
}
STEPS: Final = {
    "": "Starting",
    "reading": "Reading the file",
    "comparing": "Comparing with the rates there are",
    "writing": "Writing",
    "rows": "Writing",
    "undoing": "Putting the rates back",
}


async def find(request: web.Request) -> Job:
    """The job that the address names.

    Raises:
        NotFound: there is none that the login sees.
    """
    return await jobs.find_job(request.app[POOL], request[USER], request.match_info["job"])


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the jobs, the newest first."""
    page = await jobs.list_jobs(request.app[POOL], request[USER], page_request(request.query, jobs.KEY))
    return await render.page(request, "jobs/list", {"page": page, "kinds": jobs.KINDS, "statuses": STATUSES})


async def show(request: web.Request) -> web.StreamResponse:
    """Show how far a job is, or what came of it."""
    job = await find(request)
    has_file = _file(request, job) is not None
    context: dict[str, Any] = {
        "csrf_token": lambda: csrf.token_for(request),
        "job": job,
        "kinds": jobs.KINDS,
        "status": STATUSES[job.status],
        "step": STEPS.get(job.step, job.step.capitalize()),
        "at": datetime.now(UTC),
        "names": NAMES,
        "has_file": has_file,
        "is_part": render.is_partial(request),
        "open_jobs": request.app[JOBS].open_of(request[USER].user_id),
        "may_import": request[USER].may(Permission.TARIFFS_WRITE) and job.ratecard is not None,
        "may_cancel": job.is_open and _may_cancel(request, job),
    }
    return await render.page(request, "jobs/show", context)


def _may_cancel(request: web.Request, job: Job) -> bool:
    user = request[USER]
    return user.role == "administrator" or job.user_id == user.user_id


async def cancel(request: web.Request) -> web.StreamResponse:
    """Cancel a job of the login, or as an administrator any."""
    job = await find(request)
    if not _may_cancel(request, job):
        raise NotFound
    if job.is_open and request.app[JOBS].cancel(job.job_id):
        async with request.app[POOL].acquire(timeout=5) as connection:
            await audit.write(connection, request, "job.cancel", job.title, account_id=job.account_id)
        await render.flash(request, "Cancelled: what was not written yet is not written")
    else:
        await render.flash(request, "It has ended, or runs in another panel: nothing was cancelled")
    return render.see_other(address(request, "job.show", job=job.job_id))


def _file(request: web.Request, job: Job) -> tuple[str, str] | None:
    """Name and name for the reader of what a job left: an export, or the faults of a file."""
    place = request.app[JOBS].place_of(job.job_id)
    if job.kind == "export" and job.status == "finished":
        name = str(job.result.get("file", ""))
        shown = f"{job.title.partition(': ')[2] or 'export'}.{name.rpartition('.')[2]}"
    else:
        name, shown = ERRORS, f"errors-{job.job_id}.csv"
    return (name, shown) if name and (place / name).is_file() else None


async def send_file(request: web.Request) -> web.StreamResponse:
    """Send what a job left."""
    job = await find(request)
    found = _file(request, job)
    if found is None:
        raise NotFound
    name, shown = found
    response = web.FileResponse(request.app[JOBS].place_of(job.job_id) / name)
    response.content_type = export.TYPES[name.rpartition(".")[2]].partition(";")[0]
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in shown)
    response.headers["Content-Disposition"] = f'attachment; filename="{plain}"'
    return response
