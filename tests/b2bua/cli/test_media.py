"""`softswitch media`, and whether the supervisor runs it."""

import sys

from b2bua.cli.run import own_processes
from conf.settings import MediaSettings, Settings


def engine_commands(*engines: str) -> list[tuple[str, ...]]:
    processes = own_processes(Settings(media=MediaSettings(engines=engines)))
    return [child.command for child in processes if child.name == "media-1"]


def test_supervisor_runs_it_where_an_engine_is_our_own() -> None:
    assert engine_commands("own?weight=2", "udp://192.0.2.1:2223") == [(sys.executable, "-m", "media")]


def test_supervisor_leaves_the_engines_of_others_alone() -> None:
    assert engine_commands("udp://192.0.2.1:2223") == []


def test_it_is_stopped_after_the_calls() -> None:
    names = [child.name for child in own_processes(Settings())]
    assert names.index("sip-1") < names.index("media-1")
