import os

import pytest

from conf.ready import READY_VARIABLE, announce_ready


def test_ready_line_is_written_once_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(READY_VARIABLE, str(writing))
    announce_ready()
    announce_ready()
    assert os.read(reading, 64) == b"ready\n"
    assert os.read(reading, 64) == b""
    os.close(reading)


@pytest.mark.parametrize("value", ["", "nonsense", "999"])
def test_nothing_happens_when_nobody_waits(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READY_VARIABLE, value)
    announce_ready()
