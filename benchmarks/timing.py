"""Time a piece of code: the best of several rounds, since noise only ever adds."""

import timeit
from collections.abc import Callable


def microseconds(work: Callable[[], object], number: int = 5000, rounds: int = 7) -> float:
    """CPU microseconds of one call of `work`, the best of some rounds."""
    return min(timeit.repeat(work, number=number, repeat=rounds)) / number * 1e6


def report(name: str, value: float, target: float | None = None) -> None:
    """Print one line; the target, where there is one, beside it."""
    wanted = f"   at most {target:g} wanted" if target is not None else ""
    print(f"{name:58} {value:9.2f} µs{wanted}", flush=True)
