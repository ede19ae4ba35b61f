"""The table of metrics, and those of the process itself."""

import re
from pathlib import Path

import pytest

import b2bua
from b2bua.metrics import METRICS, process_samples

SOURCES = "\n".join(
    path.read_text("utf-8") for path in sorted(Path(b2bua.__path__[0]).rglob("*.py")) if path.name != "metrics.py"
)
TABLE = Path(b2bua.__path__[0], "metrics.py").read_text("utf-8")


class TestTable:
    @pytest.mark.parametrize("name", METRICS)
    def test_metric_has_a_name_of_the_product_and_says_what_it_is(self, name: str) -> None:
        assert re.fullmatch(r"softswitch(_[a-z]+)+", name)
        assert METRICS[name]

    def test_every_sample_that_is_given_stands_in_the_table(self) -> None:
        assert set(re.findall(r'\(\s*"(softswitch_[a-z_]+)", \{', SOURCES + TABLE)) == set(METRICS)


class TestProcess:
    def test_process_gives_samples_of_the_table(self) -> None:
        assert [name for name, _, _ in process_samples()] == ["softswitch_cpu_seconds_total", "softswitch_memory_bytes"]

    def test_processor_time_grows_when_there_is_work(self) -> None:
        before = process_samples()[0][2]
        while process_samples()[0][2] < before + 0.01:
            sum(range(10_000))

    def test_memory_is_in_bytes(self) -> None:
        resident = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
        assert abs(process_samples()[1][2] - resident) < resident / 5
