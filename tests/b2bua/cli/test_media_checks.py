"""What the doctor says of media engines and of the kernel's settings."""

import asyncio
from pathlib import Path

import pytest

from b2bua.cli.checks import Finding, Scene, State
from b2bua.cli.media_checks import check_media, judge_kernel
from b2bua.control.client import ControlClient
from conf.settings import MediaSettings, Settings, SystemSettings
from media.engine import Engine
from media.engine_address import own_socket
from media.kernel import NoPath
from media.server import Server
from tests.media.rig import settings as engine_settings
from tests.support.switch import free_port


def examine(directory: Path, *, is_running: bool, engines: tuple[str, ...] = ("own",)) -> list[Finding]:
    """The findings with or without an engine of our own."""
    settings = Settings(system=SystemSettings(directory=str(directory)), media=MediaSettings(engines=engines))
    own_socket(settings).parent.mkdir(parents=True)

    async def main() -> list[Finding]:
        if not is_running:
            return await check_media(Scene(settings, ControlClient(directory)))
        engine = Engine(engine_settings(), NoPath("switched off"))
        server = Server(engine.handle, own_socket(settings))
        try:
            return await check_media(Scene(settings, ControlClient(directory)))
        finally:
            server.close()
            engine.close()

    return asyncio.run(main())


def test_engine_that_answers_says_which_way_media_take(tmp_path: Path) -> None:
    assert examine(tmp_path, is_running=True) == [
        Finding("media", State.OK, "own answers: 0 calls in user space: switched off, 0 packets/s")
    ]


def test_own_engine_that_does_not_run_is_told(tmp_path: Path) -> None:
    assert examine(tmp_path, is_running=False) == [Finding("media", State.FAULT, "our own media engine does not run")]


def test_engine_that_does_not_answer_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = f"udp://127.0.0.1:{free_port()}"
    assert examine(tmp_path, is_running=False, engines=(name,)) == [
        Finding("media", State.FAULT, f"media engine {name} does not answer")
    ]
    # What is written besides would be in the way of --format json.
    assert capfd.readouterr().out == ""


def test_settings_that_silence_the_kernel_are_named(tmp_path: Path) -> None:
    for name, value in (("ipv4/conf/eth0", "1"), ("ipv4/conf/eth1", "2")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "rp_filter").write_text(f"{value}\n")
    (tmp_path / "netfilter").mkdir()
    (tmp_path / "netfilter/nf_conntrack_max").write_text("1000\n")
    (tmp_path / "netfilter/nf_conntrack_count").write_text("799\n")
    (finding,) = judge_kernel(tmp_path)
    assert (finding.state, "eth0:" in finding.text) == (State.WARNING, True)
    (tmp_path / "netfilter/nf_conntrack_count").write_text("801\n")
    assert "801 of at most 1000" in judge_kernel(tmp_path)[1].text
    assert judge_kernel(tmp_path / "none") == []
