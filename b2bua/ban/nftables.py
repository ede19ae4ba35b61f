"""A table of nftables that drops what banned sources send to SIP ports, and nothing else.

The table belongs to the socket that made it (Linux 5.12): nobody else can change it, also not by `nft flush ruleset`,
and the kernel removes it together with the process, however that ends. So nothing is ever left over.

The messages are those of pyroute2; they travel on a socket of our own, since pyroute2 0.9 waits for ever where the
kernel refuses a whole batch, as it does without CAP_NET_ADMIN. A batch is carried out whole or not at all.
"""

import os
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any, Final

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink import nftsocket as nft
from pyroute2.nftables.expressions import genex, verdict

_TIMEOUT: Final = 5.0
"""Longest wait for an answer of the kernel, in seconds; it answers before sendto() returns."""
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_TABLE_OWNER: Final = 2
_PRIORITY: Final = -10
"""Before the rules of others, which have 0."""
_MOST: Final = 500
"""Most addresses of one batch, which must fit into the socket's buffer three times."""

_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_FAMILIES: Final = (
    # family, set, type of its keys, their length, offset of the source address
    (nft.NFPROTO_IPV4, "banned4", nft.DATA_TYPE_IPADDR, 4, 12),
    (nft.NFPROTO_IPV6, "banned6", nft.DATA_TYPE_IP6ADDR, 16, 8),
)

_HEADER: Final = struct.Struct("=IHHII")
_ERROR: Final = struct.Struct("=IHHIIi")
_NLMSG_ERROR: Final = 2


class BanTable:
    """The table, and the socket that owns it.

    Args:
        name: Its name; one of this name must not exist.
        ports: Transport and port of each listener; what is not udp runs over TCP.

    Raises:
        OSError: the kernel refuses, for want of CAP_NET_ADMIN or of nftables.
    """

    def __init__(self, name: str, ports: Iterable[tuple[str, int]]) -> None:
        self._name = name
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.settimeout(_TIMEOUT)
            self._send(self._table_messages(sorted({(_protocol(transport), port) for transport, port in ports})))
        except BaseException:
            self._socket.close()
            raise

    def change(self, changes: Mapping[str, float | None]) -> None:
        """Ban addresses for so many seconds from now on, and lift the bans of those that have None.

        Raises:
            OSError: the kernel refuses.
        """
        rest = iter(changes.items())
        while batch := list(islice(rest, _MOST)):
            self._send(self._element_messages(batch))

    def close(self) -> None:
        """Remove the table."""
        self._socket.close()

    # What is sent

    def _table_messages(self, ports: Sequence[tuple[int, int]]) -> list[bytes]:
        table, chain = self._name, "input"
        flags = NLM_F_CREATE | NLM_F_EXCL
        messages = [
            self._pack(
                nft.nft_table_msg, nft.NFT_MSG_NEWTABLE, flags, NFTA_TABLE_NAME=table, NFTA_TABLE_FLAGS=_TABLE_OWNER
            ),
            self._pack(
                nft.nft_chain_msg,
                nft.NFT_MSG_NEWCHAIN,
                flags,
                NFTA_CHAIN_TABLE=table,
                NFTA_CHAIN_NAME=chain,
                NFTA_CHAIN_HOOK={"attrs": [("NFTA_HOOK_HOOKNUM", 1), ("NFTA_HOOK_PRIORITY", _PRIORITY)]},
                NFTA_CHAIN_TYPE="filter",
                NFTA_CHAIN_POLICY=1,
            ),
        ]
        for number, (_, name, key_type, length, _) in enumerate(_FAMILIES, 1):
            messages.append(
                self._pack(
                    nft.nft_set_msg,
                    nft.NFT_MSG_NEWSET,
                    flags,
                    NFTA_SET_TABLE=table,
                    NFTA_SET_NAME=name,
                    NFTA_SET_KEY_TYPE=key_type,
                    NFTA_SET_KEY_LEN=length,
                    NFTA_SET_ID=number,
                    NFTA_SET_FLAGS={"NFT_SET_TIMEOUT"},
                )
            )
        for protocol, port in ports:
            for family, name, _, length, offset in _FAMILIES:
                messages.append(
                    self._pack(
                        nft.nft_rule_msg,
                        nft.NFT_MSG_NEWRULE,
                        NLM_F_CREATE | NLM_F_ACK,
                        NFTA_RULE_TABLE=table,
                        NFTA_RULE_CHAIN=chain,
                        NFTA_RULE_EXPRESSIONS=_drop(family, protocol, port, name, offset, length),
                    )
                )
        return messages

    def _element_messages(self, batch: Sequence[tuple[str, float | None]]) -> list[bytes]:
        """Add, delete, add: no fault whether an address is there or not, and its time is the new one."""
        messages = []
        for family, name, *_ in _FAMILIES:
            version = 4 if family == nft.NFPROTO_IPV4 else 6
            chosen = [(ip_address(address), seconds) for address, seconds in batch if _version(address) == version]
            every = [_element(address.packed, seconds or 1.0) for address, seconds in chosen]
            wanted = [_element(address.packed, seconds) for address, seconds in chosen if seconds is not None]
            for kind, elements in (
                (nft.NFT_MSG_NEWSETELEM, every),
                (nft.NFT_MSG_DELSETELEM, every),
                (nft.NFT_MSG_NEWSETELEM, wanted),
            ):
                if elements:
                    messages.append(self._pack_elements(kind, name, elements))
        return messages

    def _pack(self, form: Any, kind: int, flags: int, **attributes: object) -> bytes:  # noqa: ANN401
        message = form()
        message["header"]["type"] = NFNL_SUBSYS_NFTABLES << 8 | kind
        message["header"]["flags"] = flags | NLM_F_REQUEST
        message["header"]["sequence_number"] = self._next()
        message["nfgen_family"] = nft.NFPROTO_INET
        message["attrs"] = list(attributes.items())
        message.encode()
        return bytes(message.data)

    def _pack_elements(self, kind: int, name: str, elements: Sequence[bytes]) -> bytes:
        # By hand: pyroute2 needs 50 µs for an element, and there may be very many.
        body = struct.pack("=BBH", nft.NFPROTO_INET, 0, 0)
        body += _attribute(1, self._name.encode() + b"\0") + _attribute(2, name.encode() + b"\0")
        body += _attribute(3 | _NESTED, b"".join(elements))
        flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK
        size = _HEADER.size + len(body)
        return _HEADER.pack(size, NFNL_SUBSYS_NFTABLES << 8 | kind, flags, self._next(), 0) + body

    def _edge(self, kind: int) -> bytes:
        message = nfgen_msg()
        message["res_id"] = NFNL_SUBSYS_NFTABLES
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST
        message["header"]["sequence_number"] = self._next()
        message.encode()
        return bytes(message.data)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    # What comes back

    def _send(self, messages: Sequence[bytes]) -> None:
        """Send a batch and wait until the kernel has acknowledged its last message, or refused any."""
        last = self._sequence
        first = last - len(messages) + 1
        self._socket.sendto(self._edge(_BATCH_BEGIN) + b"".join(messages) + self._edge(_BATCH_END), (0, 0))
        while True:
            answer = self._socket.recv(65_536)
            offset = 0
            while offset < len(answer):
                size, kind, _, sequence, _, error = _ERROR.unpack_from(answer, offset)
                offset += size + 3 & ~3
                if kind != _NLMSG_ERROR or sequence < first:
                    continue
                if error:
                    raise OSError(-error, os.strerror(-error))
                if sequence == last:
                    return


# Pieces


def _protocol(transport: str) -> int:
    return socket.IPPROTO_UDP if transport == "udp" else socket.IPPROTO_TCP


def _version(address: str) -> int:
    # A link-local address names its interface, which the set could not tell; it is dropped in user space.
    return 0 if "%" in address else 6 if ":" in address else 4


def _drop(family: int, protocol: int, port: int, name: str, offset: int, length: int) -> list[dict[str, Any]]:
    """The expressions of a rule: this family, protocol and port, and the source is in the set: drop."""

    def equals(value: bytes) -> dict[str, Any]:
        return dict(
            genex("cmp", {"sreg": 1, "op": nft.Cmp.NFT_CMP_EQ, "data": {"attrs": [("NFTA_DATA_VALUE", value)]}})
        )

    return [
        genex("meta", {"dreg": 1, "key": nft.Meta.NFT_META_L4PROTO}),
        equals(bytes([protocol])),
        genex("payload", {"dreg": 1, "base": _TRANSPORT_HEADER, "offset": 2, "len": 2}),
        equals(port.to_bytes(2, "big")),
        genex("meta", {"dreg": 1, "key": nft.Meta.NFT_META_NFPROTO}),
        equals(bytes([family])),
        genex("payload", {"dreg": 1, "base": _NETWORK_HEADER, "offset": offset, "len": length}),
        genex("lookup", {"sreg": 1, "set": name}),
        *verdict(0),
    ]


_NESTED: Final = 0x8000


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + b"\0" * (-size % 4)


def _element(key: bytes, seconds: float) -> bytes:
    """NFTA_LIST_ELEM with NFTA_SET_ELEM_KEY and NFTA_SET_ELEM_TIMEOUT (milliseconds)."""
    timeout = max(1, round(seconds * 1000)).to_bytes(8, "big")
    return _attribute(1 | _NESTED, _attribute(1 | _NESTED, _attribute(1, key)) + _attribute(4, timeout))
