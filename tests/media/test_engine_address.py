"""The setting that names media engines."""

import socket

import pytest

from conf.errors import InvalidSetting
from conf.settings import MediaSettings, Settings, SystemSettings
from media.engine_address import EngineAddress, engine_addresses


def addresses(*engines: str) -> tuple[EngineAddress, ...]:
    return engine_addresses(Settings(system=SystemSettings(directory="/data"), media=MediaSettings(engines=engines)))


def test_own_engine_is_at_its_socket() -> None:
    assert addresses("own?weight=3") == (EngineAddress("own", socket.AF_UNIX, "/data/run/media-1.sock", 3),)


def test_engines_are_named_by_address_and_weight() -> None:
    assert addresses("udp://192.0.2.1:2223?weight=2", "udp://[2001:db8::1]:22222", "unix:///run/e.sock") == (
        EngineAddress("udp://192.0.2.1:2223", socket.AF_INET, ("192.0.2.1", 2223), 2),
        EngineAddress("udp://[2001:db8::1]:22222", socket.AF_INET6, ("2001:db8::1", 22222)),
        EngineAddress("unix:///run/e.sock", socket.AF_UNIX, "/run/e.sock"),
    )


@pytest.mark.parametrize(
    "text",
    ["", "mine", "udp://192.0.2.1", "udp://host:2223", "tcp://192.0.2.1:1", "unix://run/e", "udp://192.0.2.1:x",
     "udp://192.0.2.1:1?weight=-1", "udp://192.0.2.1:1?weight=a", "udp://192.0.2.1:1/path"],
)  # fmt: skip
def test_malformed_is_named(text: str) -> None:
    with pytest.raises(InvalidSetting, match="is no engine"):
        addresses(text)


def test_engine_named_twice_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="twice"):
        addresses("own", "own?weight=2")
