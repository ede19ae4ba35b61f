"""A network of a test's own: a namespace with a loopback interface, whose rules no other program sees."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import pytest

Result = TypeVar("Result")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")

_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_CAPABILITY_VERSION_3: Final = 0x20080522


def in_own_network(work: Callable[[], Result], *, privileged: bool = True) -> Result:
    """Run something in a thread with a network of its own, which it may or may not change; so have its threads."""

    def begin() -> Result:
        enter_new_network()
        if not privileged:
            _drop_capabilities()
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(begin).result()


def enter_new_network() -> None:
    """Move the calling thread into a network with nothing but a loopback interface."""
    call_system("unshare", _CLONE_NEWNET)
    _raise_loopback()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        (flags,) = struct.unpack_from("16xh", answer)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _drop_capabilities() -> None:
    # The system call changes the calling thread only.
    call_system("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def call_system(name: str, *arguments: Any) -> None:
    """Do a system call that Python does not have."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


# Datagrams


def arrives(source: str, port: int) -> bool:
    """Whether a datagram from an address of the loopback interface comes to a port there."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    here = "::1" if ":" in source else "127.0.0.1"
    with (
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control,
    ):
        receiver.settimeout(0.0)
        receiver.bind((here, port))
        sender.bind((source, 0))
        sender.sendto(b"probe", (here, port))
        # What is sent on this interface has been delivered or dropped when the next datagram comes through.
        control.settimeout(5.0)
        control.bind(("127.0.0.1", 0))
        control.sendto(b"control", control.getsockname())
        control.recv(64)
        try:
            return receiver.recv(64) == b"probe"
        except BlockingIOError:
            return False


def connects(source: str, port: int) -> bool:
    """Whether a TCP connection from an address of the loopback interface comes about."""
    with socket.socket() as listener, socket.socket() as caller:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        caller.settimeout(0.2)
        caller.bind((source, 0))
        try:
            caller.connect(("127.0.0.1", port))
        except TimeoutError:
            return False
        return True
