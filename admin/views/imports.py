"""Files of rates: sent, looked through, imported and undone, each step a job; and written."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from aiohttp import BodyPartReader, web
from multidict import MultiDict
from pydantic import ValidationError

from admin import audit, export, render
from admin.errors import NotFound
from admin.forms.field import Filled, faults
from admin.forms.imports import INPUTS, Options
from admin.jobs import TooManyJobs
from admin.keys import JOBS, POOL, UPLOAD, USER
from admin.stores import jobs, tariffs
from admin.stores.jobs import Job
from admin.stores.tariffs import Ratecard
from admin.views import jobs as job_views
from admin.views import ratecards
from admin.views.customer_frame import address
from b2bua.account.errors import Refused
from rating.deck_cell import NAMES
from rating.deck_export import export_deck
from rating.errors import RatingError

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a file: a million rates take 60 MB as CSV."""
DECK: Final = "deck"
"""The file that was sent, in the directory of its job."""
BUSY: Final = "You have 3 jobs that are not finished, or everybody together has 20: wait for one of them"

_FIELD: Final = 10_000
_CHUNK: Final = 256 * 1024
_FORMATS: Final = ("csv", "xlsx")


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show the form that takes a file."""
    return await _form(request, await ratecards.find(request), {}, {})


async def _form(
    request: web.Request, ratecard: Ratecard, values: Mapping[str, str], errors: Mapping[str, str]
) -> web.StreamResponse:
    context = {
        "ratecard": ratecard,
        "form": Filled(values, errors),
        "inputs": INPUTS,
        "last": await jobs.jobs_of(request.app[POOL], request[USER], ratecard),
        "kinds": jobs.KINDS,
        "statuses": job_views.STATUSES,
    }
    return await render.page(request, "imports/new", context, status=422 if errors else 200)


async def add(request: web.Request) -> web.StreamResponse:
    """Take a file and look through it: a job that changes nothing."""
    ratecard, runner = await ratecards.find(request), request.app[JOBS]
    place = runner.make_place()
    try:
        name, values = await _take(request, place / DECK)
        try:
            runner.refuse_more(request[USER].user_id)
            if not name:
                raise Refused("file", "File is needed: CSV or XLSX")
            options = Options.model_validate(values).order()
        except (ValidationError, Refused) as error:
            return await _form(request, ratecard, values, faults(error))
        except TooManyJobs:
            return await _form(request, ratecard, values, {"": BUSY})
        job_id = await _make(request, "preview", ratecard, {"file_name": name, **options}, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return render.see_other(address(request, "job.show", job=job_id))


async def _take(request: web.Request, path: Path) -> tuple[str, dict[str, str]]:
    """Write the file of a form to the disk and return its name, and the fields beside it."""
    values, name = {each.name: "" for each in INPUTS}, ""
    reader = request.get(UPLOAD)
    if reader is None:
        fields: MultiDict[Any] = MultiDict(await request.post())
        return "", {each: str(fields.get(each, "")) for each in values}
    size = 0
    with path.open("wb") as file:
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "file":
                name = Path(part.filename or "").name[:200]
                size = await _write(part, file)
            elif part.name in values:
                values[part.name] = (await part.read_chunk(_FIELD)).decode("utf-8", "replace")
    return name if size else "", values


async def _write(part: BodyPartReader, file: IO[bytes]) -> int:
    while chunk := await part.read_chunk(_CHUNK):
        if file.tell() + len(chunk) > LARGEST:
            raise web.HTTPRequestEntityTooLarge(LARGEST, file.tell() + len(chunk))
        file.write(chunk)
    return file.tell()


async def _make(
    request: web.Request, kind: str, ratecard: Ratecard, parameters: Mapping[str, Any], place: Path | None = None
) -> int:
    """Make a job and let it run. Its file is in `place`, or in that of the job that looked through it first."""
    runner, user = request.app[JOBS], request[USER]
    what = parameters.get("file_name", "")
    title = f"{jobs.KINDS[kind]}: {f'{what} into ' if what else ''}{ratecard.name}"
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        job_id = await jobs.create(
            connection, kind, title, user, runner.instance, ratecard=ratecard, parameters=parameters
        )
        login = user.switched_by or user.login
        order = {"kind": kind, "ratecard_id": ratecard.ratecard_id, "by_whom": f"panel: {login}, job {job_id}"}
        if kind in {"import", "undo"}:
            new = {"file": what, "job": job_id} | {name: parameters.get(name) for name in ("effective", "replace")}
            action = "rate.import" if kind == "import" else "rate.undo"
            await audit.write(connection, request, action, ratecard.title, account_id=ratecard.owner_id, new=new)
    deck_of = parameters.get("deck_of", job_id)
    if place is not None:
        runner.adopt(place, job_id)
    runner.add(job_id, user.user_id, {**parameters, **order, "file": str(runner.place_of(deck_of) / DECK)})
    return job_id


async def _begun(request: web.Request, kind: str, ratecard: Ratecard, parameters: Mapping[str, Any]) -> web.Response:
    """Make a job and go on to its page."""
    try:
        request.app[JOBS].refuse_more(request[USER].user_id)
    except TooManyJobs:
        await render.flash(request, BUSY)
        return render.see_other(address(request, "job.show", job=request.match_info["job"]))
    job_id = await _make(request, kind, ratecard, parameters)
    return render.see_other(address(request, "job.show", job=job_id))


async def _looked_through(request: web.Request) -> tuple[Job, Ratecard]:
    """The job that looked through a file whose file is there, and its ratecard."""
    job = await job_views.find(request)
    if job.kind != "preview" or job.is_open or job.ratecard_id is None:
        raise NotFound
    if not (request.app[JOBS].place_of(job.parameters.get("deck_of", job.job_id)) / DECK).is_file():
        raise NotFound
    return job, await tariffs.find_ratecard(request.app[POOL], request[USER].scope, str(job.ratecard_id))


async def look_again(request: web.Request) -> web.StreamResponse:
    """Look through the same file, read in another way."""
    job, ratecard = await _looked_through(request)
    fields = await request.post()
    values = {each.name: str(fields.get(each.name, "")) for each in INPUTS}
    try:
        options = Options.model_validate(values).order()
    except (ValidationError, Refused) as error:
        await render.flash(request, "; ".join(faults(error).values()))
        return render.see_other(address(request, "job.show", job=job.job_id))
    mapping = {name: str(fields.get(f"map_{name}", "")) for name in NAMES}
    # An empty choice is by the header, "=" leaves the column out; anything else is a header.
    chosen = {name: "" if text == "=" else text.removeprefix("=") for name, text in mapping.items() if text}
    kept = {"file_name": job.parameters.get("file_name", ""), "deck_of": job.parameters.get("deck_of", job.job_id)}
    return await _begun(request, "preview", ratecard, {**kept, **options, "mapping": chosen})


async def begin(request: web.Request) -> web.StreamResponse:
    """Import a file as it was looked through."""
    job, ratecard = await _looked_through(request)
    if job.status != "finished" or job.result.get("fault_count"):
        raise NotFound
    return await _begun(
        request, "import", ratecard, {**job.parameters, "deck_of": job.parameters.get("deck_of", job.job_id)}
    )


async def undo(request: web.Request) -> web.StreamResponse:
    """Undo an import that is the last of its ratecard."""
    job = await job_views.find(request)
    import_id = job.result.get("import_id")
    if job.kind != "import" or job.status != "finished" or import_id is None or job.ratecard_id is None:
        raise NotFound
    ratecard = await tariffs.find_ratecard(request.app[POOL], request[USER].scope, str(job.ratecard_id))
    parameters = {"file_name": job.parameters.get("file_name", ""), "import_id": import_id}
    return await _begun(request, "undo", ratecard, parameters)


async def write_file(request: web.Request) -> web.StreamResponse:
    """Write all rates of a ratecard to a file that can be imported again: at once, or as a job where they are many."""
    ratecard, user = await ratecards.find(request), request[USER]
    kind = str((await request.post()).get("format", "csv"))
    if kind not in _FORMATS:
        raise NotFound
    pool, place = request.app[POOL], address(request, "rate.list", ratecard=ratecard.ratecard_id)
    count = await pool.fetchval(
        "SELECT count(*) FROM (SELECT FROM rate WHERE ratecard_id = $1 LIMIT $2) AS counted",
        ratecard.ratecard_id,
        export.AT_ONCE + 1,
    )
    if count <= export.AT_ONCE:
        return await _send(request, ratecard, kind)
    try:
        request.app[JOBS].refuse_more(user.user_id)
    except TooManyJobs:
        await render.flash(request, BUSY)
        return render.see_other(place)
    job_id = await _make(request, "export", ratecard, {"format": kind})
    return render.see_other(address(request, "job.show", job=job_id))


async def _send(request: web.Request, ratecard: Ratecard, kind: str) -> web.StreamResponse:
    with tempfile.TemporaryDirectory(prefix="softswitch-export-") as directory:
        path = Path(directory) / f"rates.{kind}"
        try:
            async with request.app[POOL].acquire(timeout=5) as connection:
                await export_deck(connection, ratecard.name, path)
        except RatingError:
            raise NotFound from None
        content = path.read_bytes()
    headers = {"Content-Disposition": f'attachment; filename="rates-{ratecard.ratecard_id}.{kind}"'}
    return web.Response(body=content, content_type=export.TYPES[kind].partition(";")[0], headers=headers)
