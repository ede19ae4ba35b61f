"""How a snapshot links its parts."""

from b2bua.policy.limits import NO_LIMIT
from b2bua.policy.snapshot import Snapshot
from tests.support.policy import World, make_account, make_carrier, make_device, make_gateway, make_tariff


class TestAccounts:
    def test_chain_is_the_account_and_every_reseller_above_it(self) -> None:
        accounts = [make_account(1, 10), make_account(10, 11), make_account(11, 12), make_account(12)]
        snapshot = Snapshot(accounts={account.id: account for account in accounts})
        snapshot.link_accounts()
        assert [account.id for account in accounts[0].chain] == [1, 10, 11, 12]
        assert [account.id for account in accounts[3].chain] == [12]

    def test_chain_ends_when_parents_go_in_a_circle(self) -> None:
        accounts = [make_account(1, 10), make_account(10, 11), make_account(11, 10)]
        snapshot = Snapshot(accounts={account.id: account for account in accounts})
        snapshot.link_accounts()
        assert [account.id for account in accounts[0].chain] == [1, 10, 11]

    def test_account_has_its_tariff_or_none(self) -> None:
        with_tariff, without, unknown = make_account(1), make_account(2, tariff_id=None), make_account(3, tariff_id=99)
        snapshot = Snapshot(accounts={1: with_tariff, 2: without, 3: unknown}, tariffs={1: make_tariff()})
        snapshot.link_accounts()
        assert [account.tariff for account in (with_tariff, without, unknown)] == [snapshot.tariffs[1], None, None]


class TestDevices:
    def test_call_takes_sessions_of_device_account_and_every_reseller(self) -> None:
        accounts = [make_account(1, 10, max_sessions=5, cps=6), make_account(10, 11, cps=7), make_account(11)]
        snapshot = Snapshot(accounts={account.id: account for account in accounts})
        snapshot.link_accounts()
        device = make_device(7, accounts[0], max_sessions=3, cps=0)
        snapshot.link_device(device)
        assert [(level.name, level.max_sessions, level.cps) for level in device.limits.levels] == [
            ("device ip:7", 3, 0),
            ("account CUST0001", 5, 6),
            ("reseller RESE0010", NO_LIMIT, 7),
            ("reseller RESE0011", NO_LIMIT, NO_LIMIT),
        ]

    def test_keys_of_a_chain_carry_the_tag_of_its_topmost_account(self) -> None:
        accounts = [make_account(1, 10), make_account(2, 10), make_account(10)]
        snapshot = Snapshot(accounts={account.id: account for account in accounts})
        snapshot.link_accounts()
        devices = [make_device(7, accounts[0]), make_device(9, accounts[1], "user")]
        for device in devices:
            snapshot.link_device(device)
        assert [device.limits.sessions_keys for device in devices] == [
            ("sessions:{a:10}:ip:7", "sessions:{a:10}:a:1", "sessions:{a:10}:a:10"),
            ("sessions:{a:10}:user:9", "sessions:{a:10}:a:2", "sessions:{a:10}:a:10"),
        ]


class TestCarriers:
    def test_gateways_come_by_priority_then_the_heavier_then_the_older(self) -> None:
        gateways = [
            make_gateway(1, priority=2, weight=900),
            make_gateway(4, weight=20),
            make_gateway(2, weight=10),
            make_gateway(3, weight=20),
        ]
        carrier = make_carrier(1, *gateways)
        Snapshot().link_carrier(carrier)
        assert [gateway.id for gateway in carrier.gateways] == [3, 4, 2, 1]

    def test_attempt_takes_sessions_of_carrier_and_gateway(self) -> None:
        carrier = make_carrier(3, make_gateway(8, max_sessions=2, cps=1), max_sessions=9)
        snapshot = Snapshot(tariffs={1: make_tariff()})
        snapshot.link_carrier(carrier)
        limits = carrier.gateways[0].limits
        assert [(level.name, level.max_sessions, level.cps) for level in limits.levels] == [
            ("carrier CARR0003", 9, NO_LIMIT),
            ("gateway gateway-8", 2, 1),
        ]
        assert limits.sessions_keys == ("sessions:{c:3}:c:3", "sessions:{c:3}:g:8")
        assert carrier.tariff is snapshot.tariffs[1]

    def test_gateways_are_found_by_their_addresses(self) -> None:
        carriers = [
            make_carrier(1, make_gateway(11, host="::ffff:192.0.2.1"), make_gateway(12, host="[2001:DB8::1]")),
            make_carrier(
                2, make_gateway(21, host="192.0.2.1", status="inactive"), make_gateway(22, host="example.com")
            ),
        ]
        snapshot = Snapshot()
        for carrier in carriers:
            snapshot.link_carrier(carrier)
        assert {
            address: [(carrier.id, gateway.id) for carrier, gateway in found]
            for address, found in snapshot.gateways_at.items()
        } == {"192.0.2.1": [(1, 11), (2, 21)], "2001:db8::1": [(1, 12)], "example.com": [(2, 22)]}


class TestDevice:
    def test_device_of_either_kind_is_found_by_its_id(self) -> None:
        world = World()
        snapshot = world.link()
        assert (snapshot.device("ip", 7), snapshot.device("user", 9)) == (world.device, world.user)
        assert (snapshot.device("ip", 9), snapshot.device("user", 7)) == (None, None)
