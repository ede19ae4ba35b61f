"""A process that asks for sessions of one chain: `python -m tests.support.admitting URL INSTANCE COUNT`."""

import asyncio
import sys

from b2bua.policy.limits import Chain, Level
from tests.support.live import worker_at

CHAIN = Chain([Level("a:1", "ip:7", "device", None, None), Level("a:1", "a:1", "account", 1000, None)])


async def main(url: str, instance: str, count: int) -> int:
    """Ask so often at once; returns how many were admitted."""
    async with worker_at(url, instance) as worker:
        return sum([outcome is None for outcome in await worker.admit(CHAIN, count)])


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))}\n")
