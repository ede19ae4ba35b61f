"""Logging of every process: structlog to standard error, as text or JSON, in UTC, with the name of the process.

Lines of libraries that use the standard `logging` module look the same, from level warning up.
"""

import logging
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from conf.settings import Settings

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(settings: Settings, process: str) -> None:
    """Set up logging; `process` (`sip-1`, `cdr`, `admin`, …) is shown in every line."""
    level = LEVELS[settings.system.log_level]

    def name_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]
    final = _renderers(settings.system.log_format)
    structlog.configure(
        processors=[*shared, *final],
        # A method below the level is a function that returns at once: a disabled line costs a call and no more.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    # A lost server is told once by whoever uses it; asyncpg's pool would add a page for every try.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)


def _renderers(form: str) -> list[Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
            pad_level=False,
        )
    ]


def _to_json(event: EventDict, **_options: Any) -> str:  # noqa: ANN401 - structlog passes options of the json module
    import orjson

    return orjson.dumps(event, default=str).decode()
