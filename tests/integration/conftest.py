"""One running switch for the whole folder; each test gets it without records, counters or calls of another."""

from collections.abc import Iterator

import pytest

from tests.support.certificates import Authority
from tests.support.switch import Switch, running_switch, wait_until


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates the switch trusts; its own is for `switch.example`."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="package")
def _switch(authority: Authority) -> Iterator[Switch]:
    own = str(authority.issue("switch.example", file="switch.pem"))
    with running_switch(
        SOFTSWITCH_TLS__CERTIFICATE=own,
        SOFTSWITCH_TLS__CA=str(authority.file),
        # Telephones need not be waited for as long as by default.
        SOFTSWITCH_SIP__NAT_KEEP_ALIVE="1",
    ) as switch:
        yield switch


@pytest.fixture
def switch(_switch: Switch) -> Switch:
    """The switch with the demo data, idle, its gateways on `carrier_ports`."""
    wait_until(lambda: _switch.ask("ping")["calls"] == 0, "the calls of the test before to end")
    wait_until(lambda: not _switch.session_counters(), "their counters to go")
    wait_until(lambda: _switch.ask("ping")["refusals_waiting"] == 0, "shared records of refusals to be written")
    if _switch.ask("gateways")["down"]:
        # A test before had no carriers. What moves is another gateway, of which nothing is known.
        for step in ("+", "-"):
            _switch.query(f"UPDATE gateway SET port = port {step} 1")
            _switch.wait_for_configuration()
    _switch.forget_records()
    return _switch
