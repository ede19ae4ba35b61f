"""What a worker knows of live registrations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.registrar import mirror
from b2bua.registrar.bindings import Binding
from b2bua.registrar.mirror import Mirror
from tests.support.registrations import NOW, PHONE, make_binding

ELSEWHERE = "203.0.113.5"


class TestSources:
    def test_address_is_known_with_its_port_and_without(self) -> None:
        known = Mirror()
        known.update(9, [make_binding()], NOW)
        assert known.has_source(PHONE, 5062, NOW)
        assert known.has_source(PHONE, None, NOW)
        assert not known.has_source(PHONE, 5060, NOW)
        assert not known.has_source(ELSEWHERE, None, NOW)

    def test_address_behind_a_proxy_is_known_and_the_proxy_is_not(self) -> None:
        known = Mirror()
        known.update(9, [make_binding(source=ELSEWHERE)], NOW)
        assert known.has_source(ELSEWHERE, None, NOW)
        assert not known.has_source(PHONE, None, NOW)

    def test_address_is_forgotten_when_the_binding_expires(self) -> None:
        known = Mirror()
        known.update(9, [make_binding(expires_at=NOW + 60), make_binding(host=ELSEWHERE, source=ELSEWHERE)], NOW)
        assert known.has_source(PHONE, 5062, NOW + 59)
        assert not known.has_source(PHONE, 5062, NOW + 60)
        assert known.has_source(ELSEWHERE, 5062, NOW + 60)
        assert not known.has_source(ELSEWHERE, None, NOW + 3600)
        assert (known.count, known._due, known._due_at, known._bindings) == (0, [], {}, {})

    def test_address_stays_known_when_another_user_is_there_too(self) -> None:
        known = Mirror()
        known.update(9, [make_binding()], NOW)
        known.update(10, [make_binding()], NOW)
        known.update(9, [], NOW)
        assert known.has_source(PHONE, 5062, NOW)
        known.update(10, [], NOW)
        assert not known.has_source(PHONE, None, NOW)

    def test_address_stays_known_when_the_binding_is_refreshed(self) -> None:
        known = Mirror()
        for later in range(0, 7200, 30):
            known.update(9, [make_binding(expires_at=NOW + later + 60)], NOW + later)
            assert known.has_source(PHONE, 5062, NOW + later)
        assert len(known._due) <= 2

    def test_shorter_expiry_counts_when_a_longer_one_was_known(self) -> None:
        known = Mirror()
        known.update(9, [make_binding()], NOW)
        known.update(9, [make_binding(expires_at=NOW + 60)], NOW)
        assert not known.has_source(PHONE, 5062, NOW + 60)

    def test_many_that_expire_at_once_are_forgotten_turn_by_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mirror, "_AT_ONCE", 10)
        known = Mirror()
        for user in range(25):
            known.update(user, [make_binding()], NOW)
        counts = []
        for _ in range(3):
            known.prune(NOW + 3600)
            counts.append(known.count)
        assert counts == [15, 5, 0]


class TestLimit:
    def test_too_many_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mirror, "LIMIT", 3)
        known = Mirror()
        known.update(1, [make_binding(), make_binding(contact="sip:b@h")], NOW)
        assert not known.is_full
        known.update(2, [make_binding(source=ELSEWHERE), make_binding(source=ELSEWHERE)], NOW)
        assert known.is_full
        assert not known.has_source(ELSEWHERE, None, NOW)
        known.update(1, [make_binding()], NOW)
        known.update(2, [make_binding(source=ELSEWHERE), make_binding(source=ELSEWHERE)], NOW)
        assert known.has_source(ELSEWHERE, None, NOW)
        assert known.count == 3


class TestList:
    def test_live_bindings_are_listed_with_their_user(self) -> None:
        known = Mirror()
        known.update(9, [make_binding(), make_binding(contact="sip:b@h", expires_at=NOW + 60)], NOW)
        known.update(10, [make_binding(contact="sip:c@h")], NOW)
        found = [(user, binding.contact) for user, binding in known.bindings(NOW + 60)]
        assert found == [(9, make_binding().contact), (10, "sip:c@h")]


_binding = st.builds(
    lambda host, port, seconds: make_binding(host=host, source=host, port=port, expires_at=NOW + seconds),
    st.sampled_from(["h1", "h2"]),
    st.integers(1, 2),
    st.floats(0, 100),
)


@given(st.lists(st.tuples(st.integers(1, 3), st.lists(_binding, max_size=3), st.floats(0, 20)), max_size=20))
def test_addresses_are_those_of_live_bindings_whatever_happens(
    changes: list[tuple[int, list[Binding], float]],
) -> None:
    known, truth, now = Mirror(), dict[int, list[Binding]](), NOW
    for user, bindings, later in changes:
        now += later
        known.update(user, bindings, now)
        truth[user] = bindings
        alive = [each for known_of_user in truth.values() for each in known_of_user if each.expires_at > now]
        for host in ("h1", "h2"):
            assert known.has_source(host, None, now) == any(each.host == host for each in alive)
            for port in (1, 2):
                assert known.has_source(host, port, now) == any(each.received == (host, port) for each in alive)
        assert known.count == len(alive)
