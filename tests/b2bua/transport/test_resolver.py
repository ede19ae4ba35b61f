"""Server location against a DNS server on loopback (RFC 3263), with a clock that tests turn."""

import asyncio
import contextlib
import math
from collections import Counter
from pathlib import Path

import dns.rcode
import pytest
from structlog.testing import capture_logs

from b2bua.tasks import stop_all
from b2bua.transport import resolver as resolver_module
from b2bua.transport.location import NameNotFound, ResolutionFailed, ServerNotLocated, Target, TransportUnsupported
from b2bua.transport.resolver import FAILURE, LATE, LONGEST, LONGEST_NEGATIVE, RECHECK, STALE, Destination, Resolver
from conf.errors import InvalidSetting
from tests.support.dns import QUICK, Clock, dns_serving, located, on_loops, shown

ZONE = """
$ORIGIN example.com.
$TTL 300
@            SOA   ns admin 1 3600 600 86400 30
@            NAPTR 10 20 "s" "SIP+D2U"  "" _sip._udp
@            NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp
@            NAPTR 20 10 "s" "SIP+D2T"  "" _sip._tcp
_sip._udp    SRV   10 70 5060 a
_sip._udp    SRV   10 30 5060 b
_sip._udp    SRV   20  0 5090 c
_sip._tcp    SRV   10  0 5070 a
_sips._tcp   SRV   10  0 5071 c
a            A     192.0.2.1
b            A     192.0.2.2
c       60   A     192.0.2.3
c            AAAA  2001:db8::3
_sip._udp.trunk   SRV   1 1 5062 a
alias        CNAME real
real    20   CNAME a
lost         CNAME nowhere
_sip._udp.closed  SRV 0 0 0 .
closed       A     192.0.2.9
brief   0    A     192.0.2.4
long 9999999 A     192.0.2.5
"""


class TestResolution:
    """RFC 3263 §4.1, §4.2."""

    @on_loops
    async def test_server_is_found_by_naptr_srv_and_addresses(self) -> None:
        async with located(ZONE) as at:
            targets = await at.resolver.resolve("Example.com")
            # Order 20 is not considered; within order 10 TLS is preferred.
            assert shown(targets)[:2] == ["tls 192.0.2.3 5071", "tls 2001:db8::3 5071"]
            assert sorted(shown(targets)[2:4]) == ["udp 192.0.2.1 5060", "udp 192.0.2.2 5060"]
            assert shown(targets)[4:] == ["udp 192.0.2.3 5090", "udp 2001:db8::3 5090"]
            assert {target.name for target in targets} == {"example.com"}
            assert at.server.asked("NAPTR") == 1
            assert at.server.asked("SRV") == 2
            # Each ends with the shortest answer on its way.
            assert [target.expires_at - at.clock.now for target in targets[:2]] == [60, 300]

    @on_loops
    async def test_server_is_found_by_srv_when_there_is_no_naptr(self) -> None:
        async with located(ZONE) as at:
            assert await at.find("trunk.example.com") == ["udp 192.0.2.1 5062"]
            assert at.server.asked("SRV") == 3

    @on_loops
    async def test_server_is_found_by_its_addresses_when_there_is_neither(self) -> None:
        async with located(ZONE) as at:
            assert await at.find("c.example.com") == ["udp 192.0.2.3 5060", "udp 2001:db8::3 5060"]

    @on_loops
    async def test_addresses_of_one_family_are_asked_for_when_we_listen_on_one(self) -> None:
        async with located(ZONE, families=("AAAA",)) as at:
            assert await at.find("c.example.com", 5070, "tcp") == ["tcp 2001:db8::3 5070"]
            assert at.server.questions == {("c.example.com", "AAAA"): 1}

    @on_loops
    async def test_alias_is_followed_and_ends_with_its_shortest_part(self) -> None:
        async with located(ZONE) as at:
            (target,) = await at.resolver.resolve("alias.example.com", 5060)
            assert (target.host, target.name) == ("192.0.2.1", "alias.example.com")
            assert target.expires_at == at.clock.now + 20

    @on_loops
    async def test_transport_or_port_that_is_said_leaves_questions_out(self) -> None:
        async with located(ZONE) as at:
            assert await at.find("example.com", None, "tcp") == ["tcp 192.0.2.1 5070"]
            assert at.server.asked("NAPTR") == 0
            at.server.questions.clear()
            assert await at.find("b.example.com", 5099) == ["udp 192.0.2.2 5099"]
            assert set(at.server.questions) == {("b.example.com", "A"), ("b.example.com", "AAAA")}

    @on_loops
    async def test_sips_is_found_over_tls_alone(self) -> None:
        async with located(ZONE) as at:
            assert await at.find("example.com", None, None, True) == ["tls 192.0.2.3 5071", "tls 2001:db8::3 5071"]
            assert await at.find("b.example.com", None, None, True) == ["tls 192.0.2.2 5061"]
            with pytest.raises(TransportUnsupported):
                await at.find("example.com", None, "udp", True)

    @on_loops
    async def test_dns_is_not_asked_when_the_host_is_an_address(self) -> None:
        async with located(ZONE) as at:
            (target,) = await at.resolver.resolve("192.0.2.77", 5070, "tcp")
            assert target == Target("tcp", "192.0.2.77", 5070, "192.0.2.77", math.inf)
            assert at.known("2001:db8::77") == ["udp 2001:db8::77 5060"]
            assert at.asked == 0

    @on_loops
    @pytest.mark.parametrize("host", ["nowhere.example.com", "lost.example.com", "_sip._udp.trunk.example.com"])
    async def test_fault_names_host_and_questions_when_there_is_no_such_server(self, host: str) -> None:
        async with located(ZONE) as at:
            with pytest.raises(NameNotFound) as caught:
                await at.find(host, None, "udp")
            assert str(caught.value) == (
                f"{host}: there is no such server (asked for _sip._udp.{host} SRV, {host} A, {host} AAAA)"
            )
            assert at.known(host, None, "udp") == []

    @on_loops
    async def test_service_is_not_there_when_its_srv_says_so(self) -> None:
        async with located(ZONE) as at:
            with pytest.raises(NameNotFound):
                await at.find("closed.example.com", None, "udp")
            assert at.server.asked("A") == 0

    @on_loops
    async def test_answer_comes_over_tcp_when_it_is_too_long_for_a_datagram(self) -> None:
        servers = "".join(f"_sip._udp SRV 1 1 {5000 + n} gw.with.a.rather.long.name\n" for n in range(16))
        zone = f"$ORIGIN big.example.\n$TTL 60\n@ SOA ns admin 1 1 1 1 9\n{servers}"
        async with located(zone + "gw.with.a.rather.long.name A 192.0.2.1\n") as at:
            at.server.udp_limit = 512
            assert len(await at.find("big.example", None, "udp")) == 16
            assert at.server.by_tcp == 1

    @on_loops
    async def test_most_important_records_count_when_there_are_too_many(self) -> None:
        servers = "".join(f"_sip._udp SRV {n} 1 5060 h{n}\nh{n} A 192.0.2.{n}\n" for n in range(1, 40))
        async with located(f"$ORIGIN big.example.\n$TTL 60\n@ SOA ns admin 1 1 1 1 9\n{servers}") as at:
            assert await at.find("big.example", None, "udp") == [f"udp 192.0.2.{n} 5060" for n in range(1, 17)]

    @on_loops
    async def test_naptr_for_other_uses_takes_no_place(self) -> None:
        enum = "".join(f'@ NAPTR {n} 1 "u" "E2U+sip" "!^.*$!sip:{n}@x!" .\n' for n in range(30))
        sip = '@ NAPTR 90 1 "s" "SIP+D2T" "" gw\ngw SRV 1 1 5065 a.gw\na.gw A 192.0.2.8\n'
        async with located(f"$ORIGIN enum.example.\n$TTL 60\n@ SOA ns admin 1 1 1 1 9\n{enum}{sip}") as at:
            assert await at.find("enum.example") == ["tcp 192.0.2.8 5065"]


class TestCache:
    @on_loops
    async def test_nothing_is_asked_until_an_answer_has_ended(self) -> None:
        async with located(ZONE) as at:
            assert at.known("c.example.com", 5060) is None
            await at.find("c.example.com", 5060)
            at.clock.now += 59.9
            assert await at.find("c.example.com", 5060) == ["udp 192.0.2.3 5060", "udp 2001:db8::3 5060"]
            assert at.known("c.example.com", 5060) is not None
            assert at.asked == 2
            at.clock.now += 0.1
            assert at.known("c.example.com", 5060) is None
            at.server.load(ZONE.replace("192.0.2.3", "192.0.2.33"))
            assert await at.find("c.example.com", 5060) == ["udp 192.0.2.33 5060", "udp 2001:db8::3 5060"]
            # Only the one that had ended.
            assert at.server.questions["c.example.com", "A"] == 2
            assert at.server.questions["c.example.com", "AAAA"] == 1

    @on_loops
    async def test_answer_is_kept_for_a_second_at_least_and_a_day_at_most(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            (brief,) = await at.resolver.resolve("brief.example.com", 5060)
            (lengthy,) = await at.resolver.resolve("long.example.com", 5060)
            assert brief.expires_at == at.clock.now + 1
            assert lengthy.expires_at == at.clock.now + LONGEST

    @on_loops
    @pytest.mark.parametrize(
        ("soa", "seconds"),
        [
            ("@ 300 SOA ns admin 1 1 1 1 20", 20),
            ("@ 10 SOA ns admin 1 1 1 1 20", 10),
            ("@ 9000 SOA ns admin 1 1 1 1 9000", LONGEST_NEGATIVE),
            ("@ 300 SOA ns admin 1 1 1 1 0", 1),
            ("@ 300 NS ns", LONGEST_NEGATIVE),
        ],
    )
    async def test_absence_is_kept_as_long_as_its_zone_says(self, soa: str, seconds: float) -> None:
        async with located(f"$ORIGIN gone.example.\n{soa}\n", families=("A",)) as at:
            for _ in range(2):
                with pytest.raises(NameNotFound):
                    await at.find("sip.gone.example", 5060)
            at.clock.now += seconds - 0.1
            assert at.known("sip.gone.example", 5060) == []
            assert at.asked == 1
            at.clock.now += 0.1
            assert at.known("sip.gone.example", 5060) is None
            with pytest.raises(NameNotFound):
                await at.find("sip.gone.example", 5060)
            assert at.asked == 2

    @on_loops
    async def test_each_call_draws_its_own_order(self) -> None:
        async with located(ZONE, supported=("udp",)) as at:
            await at.find("example.com")
            first: Counter[str] = Counter()
            for _ in range(10_000):
                targets = at.resolver.lookup_cached("example.com")
                assert targets is not None
                first[targets[0].host] += 1
            expected = (70 + 1 / 2) / 101
            sigma = math.sqrt(10_000 * expected * (1 - expected))
            assert first.keys() == {"192.0.2.1", "192.0.2.2"}
            assert abs(first["192.0.2.1"] - 10_000 * expected) <= 3 * sigma

    @on_loops
    async def test_one_question_goes_out_when_many_want_to_know(self) -> None:
        async with located(ZONE) as at:
            at.server.gate.clear()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(at.find("example.com", None, "udp")) for _ in range(50)]
                await at.server.wait_for("_sip._udp.example.com", "SRV")
                at.server.gate.set()
            assert {tuple(sorted(task.result())) for task in tasks} == {tuple(sorted(tasks[0].result()))}
            assert set(at.server.questions.values()) == {1}
            assert at.resolver.asked == at.asked == 7

    @on_loops
    async def test_others_get_their_answer_when_the_first_who_asked_goes(self) -> None:
        async with located(ZONE) as at:
            at.server.gate.clear()
            async with asyncio.TaskGroup() as group:
                first = group.create_task(at.find("b.example.com", 5060))
                await at.server.wait_for("b.example.com", "A")
                second = group.create_task(at.find("b.example.com", 5060))
                await asyncio.sleep(0)
                first.cancel()
                at.server.gate.set()
            assert second.result() == ["udp 192.0.2.2 5060"]
            assert at.server.questions["b.example.com", "A"] == 1

    @on_loops
    async def test_oldest_answers_are_forgotten_when_there_are_too_many(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(resolver_module, "ANSWERS_LIMIT", 20)
                at.resolver.prefetch([Destination("a.example.com", 5060)])
                await at.resolver.refresh_due()
                for n in range(50):
                    with pytest.raises(NameNotFound):
                        await at.find(f"n{n}.example.com", 5060)
                assert len(at.resolver._entries) <= 20
                assert at.known("n49.example.com", 5060) == []
                assert at.known("n0.example.com", 5060) is None
                # What is kept fresh stays, old as it is.
                assert at.known("a.example.com", 5060) == ["udp 192.0.2.1 5060"]

    @on_loops
    async def test_more_questions_are_refused_when_too_many_are_under_way(self) -> None:
        async with located(ZONE) as at:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(resolver_module, "ASKING_LIMIT", 2)
                at.server.gate.clear()
                async with asyncio.TaskGroup() as group:
                    first = group.create_task(at.find("a.example.com", 5060))
                    await at.server.wait_for("a.example.com", "AAAA")
                    with pytest.raises(ResolutionFailed, match="too much is being asked of DNS"):
                        await at.find("b.example.com", 5060)
                    at.server.gate.set()
                assert first.result() == ["udp 192.0.2.1 5060"]


class TestSilence:
    """DNS that does not answer, and answers used beyond their time (RFC 8767)."""

    @on_loops
    async def test_fault_names_host_and_question_when_dns_is_silent(self) -> None:
        async with located(ZONE) as at:
            at.silence()
            with pytest.raises(ResolutionFailed, match=r"^example\.com: .*no answer within 0\.15 s") as caught:
                await at.find("example.com")
            assert "example.com NAPTR" in str(caught.value)
            assert caught.value.host == "example.com"

    @on_loops
    async def test_fault_is_remembered_for_a_moment_and_then_asked_again(self) -> None:
        async with located(ZONE) as at:
            at.server.rcodes["A"] = at.server.rcodes["AAAA"] = dns.rcode.SERVFAIL
            for _ in range(3):
                with pytest.raises(ResolutionFailed, match=r"a\.example\.com A: .*SERVFAIL"):
                    await at.find("a.example.com", 5060)
            assert at.known("a.example.com", 5060) == []
            assert at.asked == at.resolver.failed == 2
            at.server.rcodes.clear()
            at.clock.now += FAILURE
            assert at.known("a.example.com", 5060) is None
            assert await at.find("a.example.com", 5060) == ["udp 192.0.2.1 5060"]

    @on_loops
    async def test_server_is_found_when_one_family_alone_fails(self) -> None:
        async with located(ZONE) as at:
            at.server.rcodes["AAAA"] = dns.rcode.SERVFAIL
            assert await at.find("c.example.com", 5060) == ["udp 192.0.2.3 5060"]

    @on_loops
    async def test_old_answer_is_used_for_an_hour_while_dns_is_silent(self) -> None:
        async with located(ZONE) as at:
            known = await at.find("c.example.com", 5060)
            at.clock.now += 301
            at.silence()
            assert at.known("c.example.com", 5060) is None  # nobody has tried to learn something newer
            with capture_logs() as logs:
                assert await at.find("c.example.com", 5060) == known
            assert sorted((line["event"], line["kind"]) for line in logs) == [
                ("DNS gives no newer answer", "A"),
                ("DNS gives no newer answer", "AAAA"),
            ]
            assert at.known("c.example.com", 5060) == known
            # For a while it is not even asked.
            asked = at.resolver.asked
            at.clock.now += RECHECK - 0.1
            assert await at.find("c.example.com", 5060) == known
            assert at.resolver.asked == asked
            at.clock.now += 0.1
            assert await at.find("c.example.com", 5060) == known
            assert at.resolver.asked == asked + 2
            at.clock.now += STALE
            assert at.known("c.example.com", 5060) is None
            with capture_logs() as logs, pytest.raises(ResolutionFailed):
                await at.find("c.example.com", 5060)
            assert {line["event"] for line in logs} == {"DNS does not answer"}

    @on_loops
    async def test_old_answers_are_used_at_every_step_when_dns_is_silent(self) -> None:
        async with located(ZONE) as at:
            known = await at.find("example.com")
            at.clock.now += 301
            at.silence()
            assert sorted(await at.find("example.com")) == sorted(known)
            known = await at.find("example.com")
            assert known[0] == "tls 192.0.2.3 5071"

    @on_loops
    async def test_new_answer_is_used_when_dns_is_back(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            await at.find("c.example.com", 5060)
            at.clock.now += 61
            at.server.rcodes["A"] = dns.rcode.SERVFAIL
            assert await at.find("c.example.com", 5060) == ["udp 192.0.2.3 5060"]
            at.server.rcodes.clear()
            at.server.load(ZONE.replace("192.0.2.3", "192.0.2.33"))
            at.clock.now += RECHECK
            with capture_logs() as logs:
                assert await at.find("c.example.com", 5060) == ["udp 192.0.2.33 5060"]
            assert [line["event"] for line in logs] == ["DNS answers again"]

    @on_loops
    async def test_old_answer_is_dropped_when_dns_says_that_the_name_is_gone(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            await at.find("c.example.com", 5060)
            at.clock.now += 61
            at.server.load("$ORIGIN example.com.\n@ 60 SOA ns admin 1 1 1 1 9\n")
            with pytest.raises(NameNotFound):
                await at.find("c.example.com", 5060)

    @on_loops
    async def test_second_nameserver_is_asked_when_the_first_is_silent(self) -> None:
        async with dns_serving() as silent, dns_serving(ZONE) as server:
            silent.is_silent = True
            resolver = Resolver(nameservers=[silent.address, server.address], timeout=8.0)
            resolver._dns.timeout = QUICK
            assert shown(await resolver.resolve("b.example.com", 5060)) == ["udp 192.0.2.2 5060"]
            assert silent.questions["b.example.com", "A"] >= 1

    @on_loops
    async def test_second_nameserver_is_asked_when_the_first_refuses(self) -> None:
        async with dns_serving() as other, dns_serving(ZONE) as server:
            resolver = Resolver(nameservers=[other.address, server.address])
            assert shown(await resolver.resolve("b.example.com", 5060)) == ["udp 192.0.2.2 5060"]


GATEWAY = Destination("example.com", None, "udp")


class TestPrefetch:
    @on_loops
    async def test_names_become_known_without_anybody_waiting(self) -> None:
        async with located(ZONE) as at:
            at.resolver.prefetch([GATEWAY])
            await at.server.wait_for("c.example.com", "AAAA")
            await at.find(*GATEWAY)  # waits for the same answers
            assert at.known(*GATEWAY) is not None
            assert set(at.server.questions.values()) == {1}

    @on_loops
    async def test_answer_is_renewed_before_it_ends(self) -> None:
        async with located(ZONE) as at:
            at.resolver.prefetch([GATEWAY])
            assert await at.resolver.refresh_due() == pytest.approx(0.8 * 30)  # the negative ones come first
            at.clock.now += 50
            asked = Counter(at.server.questions)
            await at.resolver.refresh_due()
            renewed = Counter(at.server.questions) - asked
            assert renewed.keys() == {("a.example.com", "AAAA"), ("b.example.com", "AAAA"), ("c.example.com", "A")}
            at.clock.now += 29
            targets = at.resolver.lookup_cached(*GATEWAY)
            assert targets is not None
            assert min(target.expires_at for target in targets) == at.clock.now + 31

    @on_loops
    async def test_old_answer_is_served_when_the_new_one_is_a_little_late(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            kept, other = Destination("c.example.com", 5060), Destination("c.example.com", 5070)
            at.resolver.prefetch([kept])
            await at.resolver.refresh_due()
            at.clock.now += 60 + LATE - 0.1
            assert at.known(*kept) == ["udp 192.0.2.3 5060"]
            assert at.known(*other) is None
            at.clock.now += 0.1
            assert at.known(*kept) is None
            # But not a failure.
            at.server.rcodes["A"] = dns.rcode.SERVFAIL
            at.clock.now += STALE
            await at.resolver.refresh_due()
            assert at.known(*kept) == []
            at.clock.now += FAILURE
            assert at.known(*kept) is None

    @on_loops
    async def test_carrier_does_not_vanish_when_dns_does(self) -> None:
        async with located(ZONE) as at:
            at.resolver.prefetch([GATEWAY])
            await at.resolver.refresh_due()
            known = sorted(at.known(*GATEWAY) or ())
            at.silence()
            for _ in range(3):
                at.clock.now += 1000
                rest = await at.resolver.refresh_due()
                assert sorted(at.known(*GATEWAY) or ()) == known
                assert rest <= RECHECK
            at.silence(is_silent=False)
            at.clock.now += RECHECK
            assert await at.resolver.refresh_due() == pytest.approx(0.8 * 30)
            targets = at.resolver.lookup_cached(*GATEWAY)
            assert targets is not None
            assert all(target.expires_at > at.clock.now for target in targets)

    @on_loops
    async def test_name_is_asked_for_again_soon_when_nothing_is_known(self) -> None:
        async with located(ZONE) as at:
            at.server.rcodes["SRV"] = dns.rcode.SERVFAIL
            at.resolver.prefetch([GATEWAY])
            assert await at.resolver.refresh_due() == pytest.approx(FAILURE)
            assert at.known(*GATEWAY) == []
            at.server.rcodes.clear()
            at.clock.now += FAILURE
            await at.resolver.refresh_due()
            assert at.known(*GATEWAY)

    @on_loops
    async def test_names_are_no_longer_asked_for_when_they_are_not_among_them(self) -> None:
        async with located(ZONE) as at:
            at.resolver.prefetch([GATEWAY])
            await at.resolver.refresh_due()
            at.resolver.prefetch([GATEWAY, Destination("b.example.com", 5060)])
            await at.resolver.refresh_due()
            asked = at.resolver.asked
            at.resolver.prefetch([])
            at.clock.now += 1000
            assert await at.resolver.refresh_due() == LONGEST
            assert at.resolver.asked == asked

    @on_loops
    async def test_gateway_by_address_or_that_cannot_be_located_is_not_asked_for(self) -> None:
        async with located(ZONE, supported=("udp",)) as at:
            with capture_logs() as logs:
                at.resolver.prefetch(
                    [Destination("192.0.2.1"), Destination("a..b"), Destination("b.example.com", None, "tls")]
                )
                await at.resolver.refresh_due()
            assert [line["reason"] for line in logs] == [
                "a..b: cannot be a name",
                "b.example.com: no transport of ours serves sip over tls",
            ]
            assert at.asked == 0
            assert at.known("a..b") == []

    @on_loops
    async def test_number_of_names_has_a_limit(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
                patch.setattr(resolver_module, "KEPT_LIMIT", 2)
                at.resolver.prefetch([Destination(f"{name}.example.com", 5060) for name in "abc"])
                await at.resolver.refresh_due()
            assert [line["event"] for line in logs] == ["too many names to keep fresh"]
            assert at.asked == 2

    @on_loops
    async def test_names_are_asked_for_later_when_too_many_questions_are_under_way(self) -> None:
        async with located(ZONE, families=("A",)) as at:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(resolver_module, "ASKING_LIMIT", 0)
                at.resolver.prefetch([Destination("a.example.com", 5060)])
                assert await at.resolver.refresh_due() == FAILURE
            at.clock.now += FAILURE
            assert await at.resolver.refresh_due() == pytest.approx(0.8 * 300)

    @on_loops
    async def test_names_are_kept_fresh_when_a_round_meets_a_fault(self) -> None:
        async with dns_serving(ZONE) as server:
            clock = Clock()
            moments = iter([OverflowError("the clock broke")])

            def broken() -> float:
                for fault in moments:
                    raise fault
                return clock.now

            resolver = Resolver(nameservers=[server.address], clock=broken)
            with capture_logs() as logs:
                resolver.prefetch([GATEWAY])
                await asyncio.sleep(0)
            assert [line["event"] for line in logs] == ["names could not be kept fresh"]
            resolver.prefetch([GATEWAY])
            await server.wait_for("_sip._udp.example.com", "SRV")
            resolver.close()
            await stop_all()


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("192.0.2.53", "Do53:192.0.2.53@53"),
            ("192.0.2.53:5353", "Do53:192.0.2.53@5353"),
            ("2001:db8::53", "Do53:2001:db8::53@53"),
            ("[2001:db8::53]:5353", "Do53:2001:db8::53@5353"),
        ],
    )
    def test_nameserver_is_an_address_and_a_port(self, text: str, shown: str) -> None:
        assert [str(server) for server in Resolver(nameservers=[text])._dns.nameservers] == [shown]

    @pytest.mark.parametrize("text", ["", "dns.example.com", "192.0.2.53:x", "192.0.2.53:70000", "[::1", ":::"])
    def test_fault_is_named_when_a_nameserver_is_no_address(self, text: str) -> None:
        with pytest.raises(InvalidSetting, match="nameserver"):
            Resolver(nameservers=[text])

    def test_nameservers_of_the_system_are_asked_when_none_is_set(self) -> None:
        assert Resolver()._dns.nameservers

    def test_own_machine_is_asked_when_the_system_names_no_nameserver(self, tmp_path: Path) -> None:
        empty = tmp_path / "resolv.conf"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resolver_module, "SYSTEM_NAMESERVERS", str(empty))
            assert Resolver()._dns.nameservers == ["127.0.0.1"]
            empty.write_text("nameserver 192.0.2.53\n")
            assert Resolver()._dns.nameservers == ["192.0.2.53"]


class TestTold:
    @on_loops
    async def test_somebody_is_told_when_names_have_been_asked_for(self) -> None:
        async with located(ZONE) as names:
            told = asyncio.Event()
            names.resolver.on_learned = told.set
            names.resolver.prefetch([Destination("example.com", None, "udp")])
            async with asyncio.timeout(5.0):
                await told.wait()
            assert names.resolver.lookup_cached("example.com", None, "udp")

    @on_loops
    async def test_fault_says_why_nothing_is_known(self) -> None:
        async with located(ZONE) as names:
            fault = names.resolver.fault
            assert fault("example.com", None, "udp").startswith("DNS has not answered yet: _sip._udp.example.com")
            for host in ("nobody.example.com", "sip.elsewhere"):
                with contextlib.suppress(ServerNotLocated):
                    await names.resolver.resolve(host, 5060, "udp")
            assert fault("nobody.example.com", 5060, "udp") == (
                "there is no such server: nobody.example.com A, nobody.example.com AAAA"
            )
            assert "REFUSED" in fault("sip.elsewhere", 5060, "udp")
            assert "no transport of ours" in fault("example.com", None, "ws")
