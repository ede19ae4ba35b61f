import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from conf.loader import load
from conf.log import configure
log = structlog.get_logger()
configure(load(environ={variables}), "sip-1")
log.debug("hidden")
log.info("shown", number=5)
logging.getLogger("library").warning("from a %s", "library")
logging.getLogger("library").info("hidden")
"""


def lines(**variables: str) -> list[str]:
    """What a process with these settings logs; one of its own, because logging is set up once for all."""
    environ = {f"SOFTSWITCH_SYSTEM__{name.upper()}": value for name, value in variables.items()}
    command = [sys.executable, "-c", PROGRAM.replace("{variables}", repr(environ))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()


def test_json_lines_hold_time_level_and_process() -> None:
    own, foreign = (json.loads(line) for line in lines(log_format="json"))
    assert (own["event"], own["number"], own["level"], own["process"]) == ("shown", 5, "info", "sip-1")
    assert own["timestamp"].endswith("Z")
    assert (foreign["event"], foreign["process"]) == ("from a library", "sip-1")


def test_text_lines_name_the_process() -> None:
    own, foreign = lines()
    assert "[info] shown number=5 process=sip-1" in own
    assert "from a library" in foreign


def test_lines_below_the_level_are_left_out() -> None:
    assert [line for line in lines(log_level="error") if line] == []
