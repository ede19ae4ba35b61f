"""What /metrics answers: the samples of every worker, read over their control sockets, and a few of the panel's own."""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from b2bua.control.messages import Message

# A sample of its own for when each counter was made doubles the answer and tells nobody anything.
disable_created_metrics()  # type: ignore[no-untyped-call]


class WorkerCollector(Collector):
    """Samples of the workers as they were last read: `[[name, {label: value}, number], …]` of each."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Message]] = []
        """The worker's name and its answer to the verb `metrics`."""

    def describe(self) -> Iterable[Metric]:
        """Nothing is known beforehand: the workers say what they have."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family for each name, labelled with its worker."""
        families: dict[str, Metric] = {}
        for worker, answer in self.answers:
            for name, labels, value in answer.get("samples", []):
                family = families.get(name) or families.setdefault(name, _family(name))
                family.add_sample(name, {**_texts(labels), "worker": worker}, float(value))
        yield from families.values()


def _family(name: str) -> Metric:
    """A name that ends in _total is that of a counter, any other that of a gauge."""
    words = name.removeprefix("softswitch_").replace("_", " ")
    if name.endswith("_total"):
        return Metric(name.removesuffix("_total"), f"{words}, from the worker", "counter")
    return Metric(name, f"{words}, from the worker", "gauge")


def _texts(labels: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in labels.items()}


class PanelMetrics:
    """The registry that /metrics is written from."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._workers = WorkerCollector()
        self._registry.register(self._workers)
        self.requests = Counter(
            "softswitch_panel_requests", "Requests the panel answered", ["status"], registry=self._registry
        )
        self.streams = Gauge("softswitch_panel_streams", "Open live pages", registry=self._registry)
        self.part_up = Gauge(
            "softswitch_part_up", "Whether a part of the switch works", ["part"], registry=self._registry
        )

    def render(self, answers: list[tuple[str, Message]]) -> bytes:
        """Write everything as Prometheus text; `answers` are those of the workers."""
        self._workers.answers = answers
        return generate_latest(self._registry)
