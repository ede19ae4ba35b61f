"""Pairs of ports: from the range, two together, none lost."""

import os
import random
import resource
import socket

import pytest

from conf.errors import InvalidSetting
from media.errors import OutOfPorts
from media.ports import Pair, PortPool

FIRST = 43_000


def test_pair_is_an_even_port_and_the_next() -> None:
    pool = PortPool(FIRST, FIRST + 99)
    pair = pool.open("127.0.0.1")
    assert FIRST <= pair.port < FIRST + 99
    assert pair.port % 2 == 0
    assert pair.rtp.getsockname() == ("127.0.0.1", pair.port)
    assert pair.rtcp.getsockname() == ("127.0.0.1", pair.port + 1)
    pool.close(pair)


def test_range_is_used_up_and_comes_back_whole() -> None:
    pool = PortPool(FIRST + 1, FIRST + 9)
    for _ in range(3):
        pairs = [pool.open("127.0.0.1") for _ in range(4)]
        assert sorted(pair.port for pair in pairs) == [FIRST + 2, FIRST + 4, FIRST + 6, FIRST + 8]
        with pytest.raises(OutOfPorts):
            pool.open("127.0.0.1")
        # Every address has the whole range.
        other = pool.open("::1")
        for pair in [*pairs, other]:
            pool.close(pair)
        assert pool.used == 0


def test_pair_given_back_is_the_last_to_be_given_out_again() -> None:
    pool = PortPool(FIRST, FIRST + 9)
    first = pool.open("127.0.0.1")
    pool.close(first)
    later = [pool.open("127.0.0.1") for _ in range(5)]
    assert later[-1].port == first.port
    for pair in later:
        pool.close(pair)


@pytest.mark.parametrize("taken", [FIRST, FIRST + 1])
def test_pair_of_which_another_program_has_a_port_is_left_out(taken: int) -> None:
    pool = PortPool(FIRST, FIRST + 3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", taken))
        pair = pool.open("127.0.0.1")
        assert pair.port == FIRST + 2
        with pytest.raises(OutOfPorts):
            pool.open("127.0.0.1")
    pool.close(pair)
    pairs = [pool.open("127.0.0.1") for _ in range(2)]
    for pair in pairs:
        pool.close(pair)


def test_pair_of_before_a_restart_is_given_out_once() -> None:
    pool = PortPool(FIRST, FIRST + 99)
    pair = pool.open_again("127.0.0.1", FIRST + 50)
    with pytest.raises(OutOfPorts):
        pool.open_again("127.0.0.1", FIRST + 50)
    with pytest.raises(OutOfPorts):
        pool.open_again("127.0.0.1", FIRST - 2)
    pool.close(pair)


def test_address_of_another_machine_is_no_shortage_of_ports() -> None:
    pool = PortPool(FIRST, FIRST + 99)
    with pytest.raises(OSError, match="assign"):
        pool.open("192.0.2.1")
    assert pool.used == 0


def test_shortage_of_descriptors_is_one_of_ports() -> None:
    pool, pairs = PortPool(FIRST, FIRST + 999), list[Pair]()

    def open_all() -> None:
        while True:
            pairs.append(pool.open("127.0.0.1"))

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 20, hard))
    try:
        with pytest.raises(OutOfPorts, match="no socket left"):
            open_all()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert pool.used == len(pairs) > 0
    for pair in pairs:
        pool.close(pair)
    assert pool.used == 0


def test_order_is_not_that_of_the_numbers() -> None:
    pool = PortPool(FIRST, FIRST + 99, random.Random(1))
    pairs = [pool.open("127.0.0.1") for _ in range(8)]
    ports = [pair.port for pair in pairs]
    assert ports != sorted(ports)
    for pair in pairs:
        pool.close(pair)


@pytest.mark.parametrize(("first", "last"), [(0, 100), (5000, 5000), (5001, 5002), (6000, 5000), (65_000, 66_000)])
def test_range_without_a_pair_is_refused(first: int, last: int) -> None:
    with pytest.raises(InvalidSetting, match="range of ports"):
        PortPool(first, last)
