"""An engine between networks of a test's own, with the kernel's path."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from media.engine import Engine
from media.kernel import ConntrackPath
from media.ng import Source
from media.restart import SessionFile
from tests.media.rig import FIRST_PORT, LAST_PORT, End, Rig, settings
from tests.support.networks import CALLEE, CALLEE_6, CALLER, CALLER_6, STRANGER, SWITCH, Networks, in_networks


class KernelRig(Rig):
    """A rig whose ends are in networks of their own.

    Args:
        networks: Those.
        directory: Of the session file.
        version: Of IP.
    """

    def __init__(self, networks: Networks, directory: Path, version: int) -> None:
        self.networks = networks
        self.directory = directory
        addresses = (CALLER, CALLEE) if version == 4 else (CALLER_6, CALLEE_6)
        caller, callee = (self.end(address) for address in addresses)
        super().__init__(self.make_engine(), caller, callee)

    def end(self, address: str) -> End:
        """An end in the network of an address."""
        return self.networks.at(address, lambda: End(address))

    def make_engine(self, **changes: Any) -> Engine:
        """Another engine, as it is after a restart."""
        self.path = ConntrackPath(FIRST_PORT, LAST_PORT)
        return Engine(settings(interfaces=(), **changes), self.path, SessionFile(self.directory / "sessions"))

    def connect(self, call_id: str = "call", **options: Any) -> None:
        super().connect(call_id, media_address=SWITCH[self.callee.address], **options)

    async def hand_over(self, source: Source = Source.LEARN_ONCE) -> None:
        """Set the call up and let the ends send until the kernel has it."""
        self.connect(source=source)
        await self.talk(1)
        assert self.is_in_kernel

    @property
    def is_in_kernel(self) -> bool:
        """Whether the kernel passes the call on, as it is told."""
        return all("kernelized" in self.medium(tag)["streams"][0]["flags"] for tag in ("a", "b"))

    @property
    def relayed(self) -> list[int]:
        """Packets that came to user space, of both ends."""
        legs = self.engine.calls["call"].streams[0].legs
        return [leg.rtp.packets for leg in legs if leg is not None]

    def stranger(self) -> End:
        """An end in a third network."""
        return self.end(STRANGER)


def with_kernel(version: int = 4) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Run a test that is a coroutine with such a rig; nothing is left in the kernel afterwards."""

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        def run(self: Any, tmp_path: Path) -> None:
            async def main(networks: Networks) -> None:
                rig = KernelRig(networks, tmp_path, version)
                await test(self, rig)
                rig.engine.end()
                assert rig.path.count() == {}
                assert rig.engine.ports.used == 0
                rig.engine.close()
                rig.caller.close()
                rig.callee.close()

            def work(networks: Networks) -> None:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(main(networks))

            in_networks(work)

        run.__doc__, run.__name__ = test.__doc__, test.__name__
        return run

    return decorate
