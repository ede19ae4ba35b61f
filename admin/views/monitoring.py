"""Answers for monitoring, without sign-in: /healthz and /metrics."""

import asyncio

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from admin import health
from admin.keys import CONTROL, METRICS, PICTURES
from b2bua.control.client import ControlClient
from b2bua.control.messages import Message


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 when every part works, else 503 with the names of those that do not."""
    state = await health.look(request.app)
    answer = {
        "status": "ok" if state.up else "failing",
        "failing": [part.name for part in state.parts if not part.up],
        "parts": {part.name: {"up": part.up, "detail": part.detail} for part in state.parts},
    }
    return web.Response(
        status=200 if state.up else 503, body=orjson.dumps(answer) + b"\n", content_type="application/json"
    )


async def metrics(request: web.Request) -> web.StreamResponse:
    """Samples of every worker and of the panel, as Prometheus text."""
    state = await health.look(request.app)
    for part in state.parts:
        request.app[METRICS].part_up.labels(part.name).set(part.up)

    async def ask() -> list[tuple[str, Message]]:
        return await _samples(request.app[CONTROL])

    answers = await request.app[PICTURES].get("metrics", health.SHARED_FOR, ask)
    return web.Response(body=request.app[METRICS].render(answers), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _samples(control: ControlClient) -> list[tuple[str, Message]]:
    """What each worker answers, with its name; those that do not answer are left out."""
    workers = control.workers()
    answers = await asyncio.gather(*(control.request(worker, "metrics") for worker in workers), return_exceptions=True)
    return [(worker, answer) for worker, answer in zip(workers, answers, strict=True) if isinstance(answer, dict)]
