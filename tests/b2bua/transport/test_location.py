"""Server location without a server: which lookups, in which order, and which server next (RFC 3263, RFC 2782)."""

import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.transport import location
from b2bua.transport.location import (
    FAILED_LONGEST,
    FAILED_SECONDS,
    NAPTR,
    SRV,
    Answer,
    FailedTargets,
    Location,
    NameNotFound,
    Question,
    Target,
    TransportUnsupported,
    Walk,
    locate,
    order_naptr,
    order_srv,
    plan,
    shuffle,
)

ALL = ("udp", "tcp", "tls")
HOST = "example.com"


def draw_of(seed: int = 1) -> location.Draw:
    return random.Random(seed).randint


def find(
    known: Mapping[str, Answer],
    host: str = HOST,
    port: int | None = None,
    transport: str | None = None,
    *,
    is_secure: bool = False,
    supported: tuple[str, ...] = ALL,
    families: tuple[str, ...] = ("A", "AAAA"),
) -> Location:
    """What a search finds when this is known, by `name kind`; `*` stands for whatever is not named."""

    def look_up(question: Question) -> Answer | None:
        return known.get(str(question), known.get("*"))

    return locate(plan(host, port, transport, is_secure, supported), look_up, draw_of(), families)


def shown(found: Location) -> list[str]:
    return [f"{target.transport} {target.host} {target.port}" for target in found.targets]


def missing(found: Location) -> list[str]:
    return [str(question) for question in found.missing]


NONE = Answer(100.0)
FAILED = Answer(100.0, "SERVFAIL")


def addresses(*texts: str, until: float = 100.0) -> Answer:
    return Answer(until, addresses=texts)


def servers(*records: tuple[int, int, int, str], until: float = 100.0) -> Answer:
    return Answer(until, servers=tuple(SRV(*record) for record in records))


def services(*records: tuple[int, int, str, str, str], until: float = 100.0) -> Answer:
    return Answer(until, services=tuple(NAPTR(*record) for record in records))


class TestTransport:
    """RFC 3263 §4.1."""

    def test_naptr_is_asked_for_when_nothing_is_said(self) -> None:
        assert missing(find({})) == ["example.com NAPTR"]

    def test_srv_of_each_of_our_transports_is_asked_for_when_there_is_no_naptr(self) -> None:
        found = find({"example.com NAPTR": NONE}, supported=("tls", "udp"))
        assert missing(found) == ["_sips._tcp.example.com SRV", "_sip._udp.example.com SRV"]

    @pytest.mark.parametrize(
        ("transport", "question"),
        [
            ("udp", "_sip._udp.example.com SRV"),
            ("TCP", "_sip._tcp.example.com SRV"),
            ("tls", "_sips._tcp.example.com SRV"),
        ],
    )
    def test_naptr_is_passed_over_when_the_transport_is_said(self, transport: str, question: str) -> None:
        assert missing(find({}, transport=transport)) == [question]

    def test_address_alone_is_asked_for_when_the_port_is_said(self) -> None:
        assert missing(find({}, port=5070)) == ["example.com A", "example.com AAAA"]

    def test_address_alone_is_asked_for_when_nobody_publishes_srv_of_the_transport(self) -> None:
        found = find({"example.com A": addresses("192.0.2.1"), "*": NONE}, transport="ws", supported=("ws",))
        assert shown(found) == ["ws 192.0.2.1 80"]

    @pytest.mark.parametrize(
        ("port", "transport", "is_secure", "target"),
        [
            (None, None, False, "udp 192.0.2.9 5060"),
            (5070, None, False, "udp 192.0.2.9 5070"),
            (None, "tcp", False, "tcp 192.0.2.9 5060"),
            (None, "tls", False, "tls 192.0.2.9 5061"),
            (None, None, True, "tls 192.0.2.9 5061"),
            (5099, "tcp", True, "tls 192.0.2.9 5099"),
        ],
    )
    def test_nothing_is_asked_for_when_the_host_is_an_address(
        self, port: int | None, transport: str | None, is_secure: bool, target: str
    ) -> None:
        found = find({}, "192.0.2.9", port, transport, is_secure=is_secure)
        assert (shown(found), found.missing, found.used) == ([target], [], [])
        assert found.targets[0].expires_at == math.inf

    def test_address_of_a_family_that_we_have_not_is_no_target(self) -> None:
        assert shown(find({}, "2001:db8::1")) == ["udp 2001:db8::1 5060"]
        assert shown(find({}, "2001:db8::1", families=("A",))) == []

    @pytest.mark.parametrize("host", ["localhost", "LocalHost.", "sip.localhost"])
    def test_localhost_is_never_asked_for(self, host: str) -> None:
        # RFC 6761 §6.3
        assert shown(find({}, host, 5080)) == ["udp 127.0.0.1 5080", "udp ::1 5080"]
        assert shown(find({}, host, 5080, families=("AAAA", "A")))[0] == "udp ::1 5080"

    def test_sips_is_found_over_tls_alone(self) -> None:
        known = {
            "example.com NAPTR": services(
                (1, 1, "s", "sip+d2u", "u.example.com"), (2, 1, "s", "sips+d2t", "t.example.com")
            )
        }
        assert missing(find(known, is_secure=True)) == ["t.example.com SRV"]
        assert missing(find({"*": NONE}, is_secure=True)) == []
        assert missing(find({"example.com NAPTR": NONE}, is_secure=True)) == ["_sips._tcp.example.com SRV"]
        known = {"example.com A": addresses("192.0.2.1"), "*": NONE}
        assert shown(find(known, is_secure=True)) == ["tls 192.0.2.1 5061"]

    @pytest.mark.parametrize(
        ("transport", "is_secure", "supported"),
        [
            ("udp", True, ALL),
            (None, True, ("udp", "tcp")),
            ("tls", False, ("udp",)),
            ("sctp", False, ALL),
            (None, False, ()),
        ],
    )
    def test_fault_is_named_when_no_transport_of_ours_would_do(
        self, transport: str | None, is_secure: bool, supported: tuple[str, ...]
    ) -> None:
        with pytest.raises(TransportUnsupported, match=r"^example\.com: no transport of ours serves sips? over"):
            plan(HOST, None, transport, is_secure, supported)

    def test_transport_is_ours_when_udp_is_not(self) -> None:
        assert shown(find({}, "192.0.2.9", supported=("tcp", "tls"))) == ["tcp 192.0.2.9 5060"]

    @pytest.mark.parametrize(
        "host", ["", ".", "a..b", "x" * 64 + ".com", "a." * 127 + "com", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro"]
    )
    def test_fault_is_named_when_the_host_can_be_no_name(self, host: str) -> None:
        with pytest.raises(NameNotFound, match="cannot be a name"):
            plan(host, None, None, False, ALL)


class TestSearch:
    """RFC 3263 §4.1, §4.2."""

    def test_naptr_leads_over_srv_to_addresses(self) -> None:
        known = {
            "example.com NAPTR": services(
                (10, 20, "s", "sip+d2u", "_sip._udp.example.com"), (10, 10, "s", "sip+d2t", "_sip._tcp.example.com")
            ),
            "_sip._udp.example.com SRV": servers((1, 1, 5070, "u.example.com")),
            "_sip._tcp.example.com SRV": servers((1, 1, 5080, "t.example.com")),
        }
        assert missing(find(known)) == [
            "t.example.com A",
            "t.example.com AAAA",
            "u.example.com A",
            "u.example.com AAAA",
        ]
        known |= {"t.example.com A": addresses("192.0.2.1"), "u.example.com A": addresses("192.0.2.2"), "*": NONE}
        found = find(known)
        assert shown(found) == ["tcp 192.0.2.1 5080", "udp 192.0.2.2 5070"]
        assert {target.name for target in found.targets} == {"example.com"}

    def test_naptr_with_flag_a_leads_to_addresses(self) -> None:
        known = {
            "example.com NAPTR": services((1, 1, "a", "sip+d2t", "gw.example.com")),
            "gw.example.com A": addresses("192.0.2.1"),
            "*": NONE,
        }
        assert shown(find(known)) == ["tcp 192.0.2.1 5060"]

    def test_transport_of_naptr_counts_when_its_srv_has_no_record(self) -> None:
        known = {
            "example.com NAPTR": services((1, 1, "s", "sip+d2t", "_sip._tcp.example.com")),
            "example.com A": addresses("192.0.2.1"),
            "*": NONE,
        }
        assert shown(find(known)) == ["tcp 192.0.2.1 5060"]

    def test_name_has_addresses_when_there_is_neither_naptr_nor_srv(self) -> None:
        known = {"example.com A": addresses("192.0.2.1"), "example.com AAAA": addresses("2001:db8::1"), "*": NONE}
        assert shown(find(known)) == ["udp 192.0.2.1 5060", "udp 2001:db8::1 5060"]
        assert shown(find(known, families=("AAAA", "A")))[0] == "udp 2001:db8::1 5060"
        assert shown(find(known, families=("AAAA",))) == ["udp 2001:db8::1 5060"]

    def test_addresses_of_the_name_are_passed_over_when_srv_says_that_the_service_is_not_there(self) -> None:
        # RFC 2782: a target of "." means that the service is decidedly not available.
        known = {"_sip._udp.example.com SRV": servers((0, 0, 0, ".")), "*": addresses("192.0.2.1")}
        found = find(known, transport="udp")
        assert (found.targets, found.missing, found.failures) == ([], [], [])

    def test_addresses_of_the_name_are_passed_over_when_dns_does_not_say_whether_there_is_srv(self) -> None:
        # They may be those of a web server.
        for failed in ("example.com NAPTR", "_sip._tcp.example.com SRV"):
            found = find({failed: FAILED, "example.com A": addresses("192.0.2.1"), "*": NONE})
            assert found.targets == []
            assert found.failures == [f"{failed}: SERVFAIL"]

    def test_servers_that_are_known_count_when_others_are_not(self) -> None:
        known = {
            "_sip._udp.example.com SRV": servers((1, 1, 5060, "a.example.com"), (2, 1, 5060, "b.example.com")),
            "_sip._tcp.example.com SRV": FAILED,
            "a.example.com A": FAILED,
            "b.example.com A": addresses("192.0.2.2"),
            "*": NONE,
        }
        found = find(known)
        assert shown(found) == ["udp 192.0.2.2 5060"]
        assert found.failures == ["_sip._tcp.example.com SRV: SERVFAIL", "a.example.com A: SERVFAIL"]

    def test_server_is_tried_once_when_several_records_lead_to_it(self) -> None:
        known = {
            "_sip._udp.example.com SRV": servers((1, 1, 5060, "a.example.com"), (2, 1, 5060, "b.example.com")),
            "a.example.com A": addresses("192.0.2.1"),
            "b.example.com A": addresses("192.0.2.1", "192.0.2.2"),
            "*": NONE,
        }
        assert sorted(shown(find(known, transport="udp"))) == ["udp 192.0.2.1 5060", "udp 192.0.2.2 5060"]

    def test_number_of_servers_has_a_limit(self) -> None:
        many = addresses(*(f"192.0.2.{n}" for n in range(200)))
        assert len(find({"*": many}, port=5060).targets) == location.TARGETS_LIMIT

    def test_target_ends_with_the_first_answer_that_led_to_it(self) -> None:
        known = {
            "example.com NAPTR": services((1, 1, "s", "sip+d2u", "u.example.com"), until=80.0),
            "u.example.com SRV": servers((1, 1, 5060, "a.example.com"), (2, 1, 5060, "b.example.com"), until=90.0),
            "a.example.com A": addresses("192.0.2.1", until=70.0),
            "b.example.com A": addresses("192.0.2.2", until=85.0),
            "*": NONE,
        }
        assert [target.expires_at for target in find(known).targets] == [70.0, 80.0]

    def test_host_is_compared_in_lower_case(self) -> None:
        found = find({"example.com A": addresses("192.0.2.1"), "*": NONE}, "Example.COM.")
        assert [target.name for target in found.targets] == ["example.com"]


class TestNAPTROrder:
    def test_preference_decides_within_the_lowest_order_alone(self) -> None:
        low = NAPTR(10, 5, "s", "sip+d2u", "u")
        high = NAPTR(10, 50, "s", "sip+d2t", "t")
        other = NAPTR(20, 1, "s", "sips+d2t", "s")
        assert order_naptr([other, high, low], ALL) == [low, high]

    def test_records_that_we_cannot_follow_are_passed_over(self) -> None:
        usable = NAPTR(30, 1, "s", "sip+d2t", "t")
        unusable = [
            NAPTR(10, 1, "s", "sips+d2t", "s"),
            NAPTR(10, 1, "s", "sip+d2s", "sctp"),
            NAPTR(10, 1, "u", "e2u+sip", "."),
            NAPTR(10, 1, "u", "sip+d2t", "t"),
            NAPTR(10, 1, "", "sip+d2t", "t"),
            NAPTR(10, 1, "s", "sip+d2t", "."),
        ]
        assert order_naptr([*unusable, usable], ("udp", "tcp")) == [usable]

    def test_our_preference_decides_when_theirs_is_the_same(self) -> None:
        udp, tls = NAPTR(1, 1, "s", "sip+d2u", "u"), NAPTR(1, 1, "s", "sips+d2t", "s")
        assert order_naptr([udp, tls], ("tls", "udp")) == [tls, udp]


records = st.builds(
    SRV,
    st.integers(0, 5),
    st.integers(0, 65535),
    st.integers(1, 65535),
    st.sampled_from(["a.example", "b.example", "c"]),
)


class TestSRVOrder:
    """RFC 2782, "Priority" and "Weight"."""

    @given(st.lists(records, max_size=12), st.integers())
    def test_every_record_comes_once_and_priorities_ascend(self, given_records: list[SRV], seed: int) -> None:
        ordered = order_srv(given_records, draw_of(seed))
        assert sorted(ordered) == sorted(given_records)
        assert [record.priority for record in ordered] == sorted(record.priority for record in given_records)

    @given(st.lists(records, max_size=6), st.integers())
    def test_order_is_the_same_when_the_randomness_is(self, given_records: list[SRV], seed: int) -> None:
        assert order_srv(given_records, draw_of(seed)) == order_srv(given_records, draw_of(seed))

    @pytest.mark.parametrize("weights", [(60, 30, 10), (1, 1), (0, 0, 0), (0, 100), (65535, 1, 0), (5, 0, 5, 0)])
    def test_share_of_each_record_is_its_weight(self, weights: tuple[int, ...]) -> None:
        given_records = [SRV(1, weight, 5060, f"{n}.example") for n, weight in enumerate(weights)]
        draw, rounds = draw_of(2782), 10_000
        first = Counter(order_srv(given_records, draw)[0].host for _ in range(rounds))
        total, zeros = sum(weights), weights.count(0)
        for n, weight in enumerate(weights):
            # The number drawn is one of 0 … total; 0 falls to whichever record stands first: those of weight 0, if any.
            expected = (weight + ((weight == 0) / zeros if zeros else 1 / len(weights))) / (total + 1)
            sigma = math.sqrt(rounds * expected * (1 - expected))
            assert abs(first[f"{n}.example"] - rounds * expected) <= 3 * sigma

    def test_weights_decide_the_second_place_too(self) -> None:
        given_records = [SRV(1, weight, 5060, str(weight)) for weight in (70, 20, 10)]
        draw, rounds = draw_of(3), 10_000
        orders = Counter("".join(record.host for record in order_srv(given_records, draw)) for _ in range(rounds))
        # 70 first, then 20 or 10 by 2 to 1, but for the number 0 that falls to any.
        expected = (70 + 1 / 3) / 101 * (20 + 1 / 2) / 31
        assert abs(orders["702010"] - rounds * expected) <= 3 * math.sqrt(rounds * expected * (1 - expected))

    @given(st.lists(st.integers()), st.integers())
    def test_shuffled_items_are_the_same(self, items: list[int], seed: int) -> None:
        assert sorted(shuffle(items, draw_of(seed))) == sorted(items)

    def test_addresses_of_one_name_share_the_load(self) -> None:
        draw = draw_of(7)
        wanted = plan(HOST, 5060, "udp", False, ALL)
        known = {"A": addresses("192.0.2.1", "192.0.2.2"), "AAAA": NONE}
        first = Counter(
            locate(wanted, lambda question: known[question.kind], draw).targets[0].host for _ in range(10_000)
        )
        assert abs(first["192.0.2.1"] - 5000) <= 3 * math.sqrt(2500)


class TestWalk:
    """RFC 3263 §4.3."""

    def targets(self, count: int = 3) -> list[Target]:
        return [Target("udp", f"192.0.2.{n}", 5060, HOST, 100.0) for n in range(count)]

    def test_targets_come_in_order_and_end(self) -> None:
        walk = Walk(self.targets(), FailedTargets(), 0.0)
        assert [walk.next() for _ in range(4)] == [*self.targets(), None]
        assert not walk.has_left
        assert walk.fail(0.0) is None

    def test_next_one_comes_when_one_fails(self) -> None:
        first, second, third = self.targets()
        failed = FailedTargets()
        walk = Walk(self.targets(), failed, 0.0)
        assert walk.next() == first
        assert walk.has_left
        assert walk.fail(1.0) == second == walk.target
        assert failed.has(first, 1.0)
        assert not failed.has(second, 1.0)
        again = Walk(self.targets(), failed, 2.0)
        assert [again.next() for _ in range(3)] == [second, third, first]

    def test_failed_one_is_first_again_after_a_while_or_when_it_answers(self) -> None:
        first, second, _ = self.targets()
        failed = FailedTargets()
        for target in (first, second):
            failed.add(target, FAILED_SECONDS)
        assert Walk(self.targets(), failed, FAILED_SECONDS).next() == first
        failed.forget(second)
        assert Walk(self.targets(), failed, 0.0).next() == second

    def test_all_come_in_their_order_when_all_have_failed(self) -> None:
        failed = FailedTargets()
        for target in self.targets():
            failed.add(target, 30.0)
        walk = Walk(self.targets(), failed, 0.0)
        assert [walk.next() for _ in range(3)] == self.targets()

    def test_retry_after_counts_within_a_limit(self) -> None:
        first, second, _ = self.targets()
        failed = FailedTargets()
        walk = Walk(self.targets(), failed, 0.0)
        walk.next()
        walk.fail(0.0, 60.0)
        walk.fail(0.0, 1e9)
        assert [failed.has(first, now) for now in (59.0, 60.0)] == [True, False]
        assert [failed.has(second, now) for now in (FAILED_LONGEST - 1, FAILED_LONGEST)] == [True, False]

    def test_memory_of_failures_has_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(location, "FAILED_LIMIT", 2)
        failed = FailedTargets()
        for target in self.targets(3):
            failed.add(target, 30.0)
        assert len(failed) == 2
        assert [failed.has(target, 0.0) for target in self.targets(3)] == [False, True, True]
