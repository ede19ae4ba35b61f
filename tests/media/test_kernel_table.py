"""The table of nftables: what it lets through, and that it is made and removed as a whole."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from media import kernel_table
from media.kernel_table import COUNTING, FORWARDING, KernelTable
from tests.media.rig import FIRST_PORT, LAST_PORT
from tests.support.network import in_own_network, needs_root
from tests.support.networks import CALLEE, CALLER, Networks, in_networks

pytestmark = needs_root


def on_table(work: Callable[[KernelTable], None]) -> None:
    def main() -> None:
        table = KernelTable(FIRST_PORT, LAST_PORT)
        work(table)
        table.close()

    in_own_network(main)


def test_table_is_made_once_and_removed_with_what_it_switched_on() -> None:
    def work(table: KernelTable) -> None:
        for _ in range(3):
            table.make()
            assert (FORWARDING.read_text(), COUNTING.read_text()) == ("1\n", "1\n")
        table.remove()
        assert FORWARDING.read_text() == "0\n"
        table.remove()

    on_table(work)


def test_table_is_still_there_for_the_next_process() -> None:
    def work(table: KernelTable) -> None:
        table.make()
        table.close()
        following = KernelTable(FIRST_PORT, LAST_PORT)
        following.make()
        following.remove()
        assert FORWARDING.read_text() == "0\n"
        following.close()

    def main() -> None:
        work(KernelTable(FIRST_PORT, LAST_PORT))

    in_own_network(main)


def test_nothing_is_left_where_forwarding_cannot_be_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # A file of the system that can be read and not written.
    monkeypatch.setattr(kernel_table, "FORWARDING", Path("/proc/version"))

    def work(table: KernelTable) -> None:
        with pytest.raises(OSError):  # noqa: PT011 - the system's words
            table.make()
        assert not table._exists(is_router=False)

    on_table(work)


def test_machine_that_forwards_goes_on_forwarding() -> None:
    def work(table: KernelTable) -> None:
        FORWARDING.write_text("1\n")
        table.make()
        table.remove()
        assert FORWARDING.read_text() == "1\n"

    on_table(work)


@pytest.mark.parametrize("is_router", [False, True])
def test_nothing_but_media_is_forwarded_where_nothing_was_before(is_router: bool) -> None:
    def work(networks: Networks) -> None:
        if is_router:
            FORWARDING.write_text("1\n")
        table = KernelTable(FIRST_PORT, LAST_PORT)
        table.make()
        sender, receiver = (networks.at(address, partial(_bind, address)) for address in (CALLER, CALLEE))
        sender.sendto(b"x", receiver.getsockname())
        # What is forwarded comes at once; what is not never does.
        receiver.settimeout(5.0 if is_router else 0.3)
        try:
            assert receiver.recv(10) == b"x"
            assert is_router
        except TimeoutError:
            assert not is_router
        table.remove()
        table.close()
        sender.close()
        receiver.close()

    in_networks(work)


def _bind(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, 0))
    return opened
