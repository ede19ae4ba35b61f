"""The table of nftables, in a network of the test's own."""

import time
from collections.abc import Callable

import pytest

from b2bua.ban.nftables import BanTable
from tests.support.network import arrives, connects, in_own_network, needs_root

NAME = "softswitch_test"
SIP = 5060
RTP = 40_000
PORTS = (("udp", SIP), ("tcp", SIP), ("tls", 5061))
SOURCE = "127.0.0.2"


def on_table(work: Callable[[BanTable], None]) -> None:
    """Do something with a table in a network of its own."""

    def main() -> None:
        table = BanTable(NAME, PORTS)
        try:
            work(table)
        finally:
            table.close()

    in_own_network(main)


@needs_root
class TestDrop:
    def test_banned_source_does_not_reach_the_sip_port_until_it_is_lifted(self) -> None:
        def work(table: BanTable) -> None:
            assert arrives(SOURCE, SIP)
            table.change({SOURCE: 900.0})
            assert not arrives(SOURCE, SIP)
            table.change({SOURCE: None})
            assert arrives(SOURCE, SIP)

        on_table(work)

    def test_other_ports_of_the_same_source_are_reached(self) -> None:
        def work(table: BanTable) -> None:
            table.change({SOURCE: 900.0})
            assert arrives(SOURCE, RTP)
            # A port is barred for the transport that listens there.
            assert arrives(SOURCE, 5061)
            assert not connects(SOURCE, 5061)
            assert connects(SOURCE, 8080)

        on_table(work)

    def test_other_sources_reach_the_sip_port(self) -> None:
        def work(table: BanTable) -> None:
            table.change({SOURCE: 900.0})
            assert arrives("127.0.0.3", SIP)
            assert arrives("::1", SIP)
            assert connects("127.0.0.3", SIP)
            assert not connects(SOURCE, SIP)

        on_table(work)

    def test_ipv6_source_is_dropped(self) -> None:
        def work(table: BanTable) -> None:
            table.change({"::1": 900.0, "fe80::1%lo": 900.0})
            assert not arrives("::1", SIP)
            assert arrives("::1", RTP)
            table.change({"::1": None, "fe80::1%lo": None})
            assert arrives("::1", SIP)

        on_table(work)

    def test_kernel_ends_the_ban_when_its_time_is_over(self) -> None:
        def work(table: BanTable) -> None:
            table.change({SOURCE: 900.0})
            # The second time is the one that counts.
            table.change({SOURCE: 0.2})
            assert not arrives(SOURCE, SIP)
            deadline = time.monotonic() + 5
            while not arrives(SOURCE, SIP):
                assert time.monotonic() < deadline

        on_table(work)

    def test_thousands_are_banned_in_one_go(self) -> None:
        def work(table: BanTable) -> None:
            many = {f"10.0.{number >> 8}.{number & 255}": 900.0 for number in range(3000)}
            many |= {f"2001:db8::{number:x}": 900.0 for number in range(3000)}
            table.change({**many, SOURCE: 900.0})
            assert not arrives(SOURCE, SIP)
            table.change(dict.fromkeys([*many, SOURCE]))
            assert arrives(SOURCE, SIP)

        on_table(work)


@needs_root
class TestTable:
    def test_nothing_is_left_when_it_is_closed(self) -> None:
        def main() -> None:
            for _ in range(2):
                table = BanTable(NAME, PORTS)
                table.change({SOURCE: 900.0})
                assert not arrives(SOURCE, SIP)
                table.close()
                assert arrives(SOURCE, SIP)

        in_own_network(main)

    def test_second_of_the_same_name_is_refused(self) -> None:
        def work(table: BanTable) -> None:
            with pytest.raises(OSError):  # noqa: PT011 - the kernel's words
                BanTable(NAME, PORTS)
            other = BanTable(f"{NAME}-2", PORTS)
            table.change({SOURCE: 900.0})
            other.close()
            assert not arrives(SOURCE, SIP)

        on_table(work)

    def test_kernel_refuses_at_once_when_we_have_no_capability(self) -> None:
        def main() -> None:
            with pytest.raises(PermissionError):
                BanTable(NAME, PORTS)

        in_own_network(main, privileged=False)
