"""UDP: a raw non-blocking socket, read in batches (a quarter of the cost of a datagram endpoint; RFC 3261 §18)."""

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from b2bua.sip.flow import Flow
from b2bua.transport.address import ListenAddress
from b2bua.turns import BATCH

_FLOWS_LIMIT: Final = 20_000


class UDPListener:
    """One socket.

    Args:
        address: Where to listen.
        index: Of this listener, as flows carry it.
        receive_buffer: Bytes asked of the kernel; it may grant fewer.
        received: Called for each datagram.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(
        self,
        address: ListenAddress,
        index: int,
        receive_buffer: int,
        received: Callable[[bytes, Flow], None],
    ) -> None:
        self.address = address
        self.index = index
        self._received = received
        self._flows: dict[tuple[str, int], Flow] = {}
        self._socket = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            _force_buffer(self._socket, receive_buffer)
            if address.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind((address.host, address.port))
            # Port 0 lets the system choose.
            self.address = replace(address, port=self._socket.getsockname()[1])
        except OSError:
            self._socket.close()
            raise
        self._buffer = bytearray(65_536)
        self._view = memoryview(self._buffer)
        self.dropped = 0
        """Datagrams that the kernel would not take from us."""

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> int:
        """Hand over what is there, at most a batch; returns how many datagrams that were."""
        receive, view, flows = self._socket.recvfrom_into, self._view, self._flows
        taken = 0
        for _ in range(BATCH):
            try:
                size, source = receive(view)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier send
            taken += 1
            key = source[:2]
            flow = flows.get(key)
            if flow is None:
                if len(flows) >= _FLOWS_LIMIT:
                    flows.clear()
                flow = flows[key] = Flow("udp", source[0], source[1], self.index)
            if "%" in flow.host:
                continue  # link-local: without its zone, which SIP cannot carry, nobody can answer to it
            if size > 4:  # anything shorter is a keep-alive (RFC 5626 §3.5.1)
                self._received(bytes(view[:size]), flow)
        return taken

    def send(self, data: bytes, flow: Flow) -> str:
        """Send one datagram; returns why it could not be sent, or an empty string.

        A full socket buffer is a lost packet like any other: retransmission makes up for it.
        """
        try:
            self._socket.sendto(data, (flow.host, flow.port))
        except BlockingIOError:
            self.dropped += 1
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _force_buffer(udp: socket.socket, size: int) -> None:
    # Linux grants more than net.core.rmem_max only to a process that may; others keep what they got.
    try:
        udp.setsockopt(socket.SOL_SOCKET, 33, size)  # SO_RCVBUFFORCE
    except OSError:
        return
