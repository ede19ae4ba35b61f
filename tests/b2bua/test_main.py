import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from b2bua.__main__ import COMMANDS, main
from conf.loader import CONFIG_VARIABLE


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


class TestHelp:
    def test_help_lists_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("--help") == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in COMMANDS)

    def test_help_imports_no_command(self) -> None:
        code = "import sys; from b2bua.__main__ import main\n"
        code += "try: main(['--help'])\nexcept SystemExit: pass\n"
        code += "sys.exit(any(name in sys.modules for name in ('asyncpg', 'uvloop', 'aiohttp', 'b2bua.cli.run')))"
        began = time.monotonic()
        assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
        assert time.monotonic() - began < 3

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of(name, "--help") == 0
        assert f"softswitch {name}" in capsys.readouterr().out

    def test_records_and_their_writer_share_a_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("cdr", "write", "--help") == 0
        assert "Run the CDR writer alone" in capsys.readouterr().out


class TestFaults:
    def test_fault_of_a_setting_is_one_line_and_status_2(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOFTSWITCH_SIP__T1", "fast")
        assert status_of("migrate") == 2
        fault = capsys.readouterr().err
        assert fault.count("\n") == 1
        assert 'sip.t1 is "fast"; it must be a number' in fault

    def test_fault_names_the_settings_file_that_is_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("--config", "/nowhere.toml", "migrate") == 2
        assert "/nowhere.toml" in capsys.readouterr().err

    def test_unknown_command_is_refused(self) -> None:
        assert status_of("nonsense") == 2


def test_chosen_settings_reach_the_processes_that_a_command_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "other.toml")
    file = tmp_path / "chosen.toml"
    file.write_text("[nonsense]")
    assert status_of("--config", str(file), "migrate") == 2
    assert os.environ[CONFIG_VARIABLE] == str(file)
    assert "[nonsense]" in capsys.readouterr().err
