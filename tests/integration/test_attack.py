"""An attack with SIPVicious: nobody learns who exists, its source is banned, others never notice."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2bua.sip.digest import ha1
from tests.support.configuration import Configuration
from tests.support.datagrams import Callers, Carrier, carriers
from tests.support.registering import register
from tests.support.switch import Switch, free_port, running_switch, wait_until

ATTACKER = "127.0.0.66"
ATTACKERS = (ATTACKER, "127.0.0.1")
"""Not every tool of SIPVicious binds to the address that it is told to."""
CUSTOMER = "127.0.0.67"
PHONE = "127.0.0.68"
CARRIER = "127.0.0.69"
PATIENCE = 8.0
SECRET = "Correct-Horse-9"
USERS = range(2000, 2010)
"""Names of SIP users that exist; 2010 to 2019 do not."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("svmap") is None, reason="sipvicious is not installed"),
]


@pytest.fixture(scope="module", params=["known scanner", "unknown scanner"])
def switch(request: pytest.FixtureRequest) -> Iterator[Switch]:
    """A switch with a customer and SIP users; the second one does not know scanners by their names."""
    scanners = str(request.param == "known scanner").lower()
    with running_switch(SOFTSWITCH_BAN__SCANNERS=scanners) as switch:
        # An address with a device or a gateway is never banned, and all of the demo's are 127.0.0.1.
        switch.query("DELETE FROM ip_device WHERE address = '127.0.0.1'")
        switch.query("UPDATE gateway SET host = '127.0.0.99'")
        configuration = Configuration(switch)
        (realm,) = switch.query("SELECT value FROM system_value WHERE name = 'realm'")
        account = configuration.account()
        for name in USERS:
            digest = ha1(str(name), realm["value"], SECRET)
            configuration.insert("sip_user", account_id=account, username=str(name), ha1_md5=digest)
        yield switch


def attack(switch: Switch, tool: str, *arguments: str, directory: Path) -> str:
    """Run a tool of SIPVicious from the attacker's address and return all it prints."""
    command = [tool, "-b", ATTACKER, "-x", ATTACKER, "-p", str(switch.port), *arguments, "127.0.0.1"]
    output = directory / "printed"
    with output.open("w") as file:
        process = subprocess.Popen(
            command, cwd=directory, env={"HOME": str(directory), "PATH": "/usr/bin:/bin"}, stdout=file, stderr=file
        )
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()  # waits for answers that a banned source does not get
            process.wait()
    return output.read_text()


def is_banned(switch: Switch) -> bool:
    """Whether the attacker is on the ban list, as the command line tells it."""
    listed = switch.command("ban", "list")
    return any(address in listed for address in ATTACKERS)


def knows_scanners(switch: Switch) -> bool:
    """Whether the switch knows scanners by their names."""
    return switch.environ["SOFTSWITCH_BAN__SCANNERS"] == "true"


def unban(switch: Switch) -> None:
    """Forgive the attacker, for the next attack."""
    for address in ATTACKERS:
        switch.command("ban", "remove", address, check=False)
    wait_until(lambda: switch.ask("ping")["bans"] == 0, "the ban to end")


def others_are_well(switch: Switch, directory: Path) -> None:
    """A registered phone registers again, and a customer's call reaches a carrier."""
    assert register(switch, PHONE, str(USERS[0]), SECRET) == 200
    configuration = Configuration(switch)
    carrier = Carrier(free_port(), (486,), CARRIER)
    gateway = {"host": CARRIER}
    configuration.customer(CUSTOMER, configuration.route([configuration.carrier(carrier.port, gateway=gateway)[0]]))
    switch.wait_for_configuration()
    with carriers(carrier), Callers(switch, CUSTOMER) as callers:
        callers.invite()
        callers.listen(5.0)
        assert callers.count(486) == 1
    configuration.remove()


class TestAttack:
    def test_map_of_the_network_shows_a_switch_at_most(self, switch: Switch, tmp_path: Path) -> None:
        printed = attack(switch, "svmap", "-v", directory=tmp_path)
        if knows_scanners(switch):
            assert "| 127.0.0.1:" not in printed
            wait_until(lambda: is_banned(switch), "the scanner to be banned")
        others_are_well(switch, tmp_path)
        unban(switch)

    @pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
    def test_users_cannot_be_told_from_others(self, switch: Switch, tmp_path: Path, method: str) -> None:
        if knows_scanners(switch) and method != "REGISTER":
            return  # all are silenced alike, and waiting for answers takes long
        printed = attack(switch, "svwar", "--force", "-m", method, "-e", "2000-2019", directory=tmp_path)
        found = {line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")} - {"Extension"}
        users = found & {str(name) for name in USERS}
        # It begins with a name that nobody has. Where it takes users for users, it takes others for users, too.
        assert bool(users) == bool(found - users), printed
        others_are_well(switch, tmp_path)
        unban(switch)

    def test_secret_cannot_be_guessed(self, switch: Switch, tmp_path: Path) -> None:
        if knows_scanners(switch):
            return
        words = tmp_path / "words.txt"
        words.write_text("\n".join([*(f"wrong{number}" for number in range(12)), SECRET]))
        printed = attack(
            switch, "svcrack", "-u", str(USERS[1]), "-d", str(words), "--maximumtime", "2", directory=tmp_path
        )
        assert SECRET not in printed
        wait_until(lambda: is_banned(switch), "the attacker to be banned")
        others_are_well(switch, tmp_path)
        unban(switch)
