"""The devices of a snapshot, each made of its row when it is asked for, and linked to the snapshot's accounts."""

from collections.abc import Mapping
from typing import Final

from b2bua.policy.accounts import Account, Device
from b2bua.policy.devices import DeviceTable, UserTable
from b2bua.policy.media_wishes import MediaWishes
from b2bua.policy.packed_devices import DeviceKey, DeviceRow, OverlaidDevices

_MOST: Final = 4096
"""Devices that are kept; those that do not call are not missed."""


class _Maker:
    """Makes devices of rows."""

    __slots__ = ("_accounts", "_made")

    def __init__(self, accounts: Mapping[int, Account]) -> None:
        self._accounts = accounts
        self._made: dict[DeviceKey, Device] = {}

    def make(self, row: DeviceRow | None) -> Device | None:
        """The device of a row; None where there is no row."""
        if row is None:
            return None
        device = self._made.get(row.key)
        if device is None:
            if len(self._made) >= _MOST:
                self._made.clear()
            device = self._made[row.key] = _device(row, self._accounts[row.account_id])
        return device


def _device(row: DeviceRow, account: Account) -> Device:
    device = Device(
        row.kind,
        row.id,
        account,
        row.status,
        row.max_sessions,
        row.cps,
        row.dial_prefix,
        row.username,
        row.ha1_md5,
        row.network,
        row.extension,
        row.port,
        row.transport,
        row.is_trusted,
        MediaWishes(row.srtp, row.dtmf),
    )
    device.limits = account.chain_with(device.key, f"device {device.key}", device.max_sessions, device.cps)
    return device


class LazyDeviceTable(DeviceTable):
    """IP devices by network.

    Args:
        rows: All devices, of the same revision.
        accounts: Of the snapshot, linked.
    """

    __slots__ = ("_maker", "_rows")

    def __init__(self, rows: OverlaidDevices, accounts: Mapping[int, Account]) -> None:
        super().__init__()
        self._rows = rows
        self._maker = _Maker(accounts)

    def find(self, address: str, number: str) -> Device | None:
        """The device of a source address and a dialled number, or None."""
        return self._maker.make(self._rows.find(address, number))

    def get(self, device_id: int) -> Device | None:
        """The device of an id, or None."""
        return self._maker.make(self._rows.get("ip", device_id))

    def has(self, address: str) -> bool:
        """Whether any device may call from an address, whatever it dials."""
        return bool(self._rows.at(address))


class LazyUserTable(UserTable):
    """SIP users by name, by id, and by extension within their account.

    Args:
        rows: All devices, of the same revision.
        accounts: Of the snapshot, linked.
    """

    __slots__ = ("_maker", "_rows")

    def __init__(self, rows: OverlaidDevices, accounts: Mapping[int, Account]) -> None:
        super().__init__()
        self._rows = rows
        self._maker = _Maker(accounts)

    def get(self, username: str) -> Device | None:
        """The user of a name, or None."""
        return self._maker.make(self._rows.get_user(username))

    def get_by_id(self, user_id: int) -> Device | None:
        """The user of an id, or None."""
        return self._maker.make(self._rows.get("user", user_id))

    def by_extension(self, account_id: int, number: str) -> Device | None:
        """The user that a number is the extension of, within an account, or None."""
        return self._maker.make(self._rows.by_extension(account_id, number))
