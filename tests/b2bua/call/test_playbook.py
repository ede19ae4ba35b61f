"""The dialogue language itself: it must fail whenever a dialogue went otherwise, or a test could pass for nothing."""

import sys

import pytest

from b2bua.call.disposition import Disposition
from b2bua.call.effects import Admit, Forget, RecordFailure, SendCancel, SendFailure, SendProvisional
from b2bua.call.events import Admitted, Cancelled, Invited, Progressed
from tests.support.playbook import Playbook, describe, new_call, refused_call, same


def test_playbook_is_true_when_the_dialogue_goes_as_written() -> None:
    assert Playbook(new_call()) >> Invited() << Admit(True)


def test_playbook_fails_when_an_effect_is_missing() -> None:
    with pytest.raises(AssertionError, match=r"\+ << Admit\(take_sessions=True\)"):
        assert Playbook(new_call()) >> Invited()


def test_playbook_fails_when_an_effect_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"- << Forget\(\)"):
        assert Playbook(new_call()) >> Invited() << Admit(True) << Forget()


def test_playbook_fails_when_a_field_differs() -> None:
    with pytest.raises(AssertionError, match=r"- << Admit\(take_sessions=False\)"):
        assert Playbook(new_call()) >> Invited() << Admit(False)


def test_playbook_fails_when_a_field_inside_a_field_differs() -> None:
    playbook = Playbook(refused_call("NO_ROUTE", "route all", counts_cps=False))
    wrong = Disposition("NO_ROUTE", 404, 1, "route all")
    with pytest.raises(AssertionError, match="cause=3"):
        assert playbook >> Invited() << RecordFailure(wrong, True) << SendFailure(wrong) << Forget()


def test_playbook_fails_when_the_order_differs() -> None:
    playbook = Playbook(refused_call("NO_ROUTE", counts_cps=False))
    right = Disposition("NO_ROUTE", 404, 3)
    with pytest.raises(AssertionError, match="went otherwise"):
        assert playbook >> Invited() << SendFailure(right) << RecordFailure(right, True) << Forget()


def test_diff_shows_the_whole_dialogue_when_a_later_part_differs() -> None:
    playbook = Playbook(new_call())
    assert playbook >> Invited() << Admit(True)
    with pytest.raises(AssertionError, match=r"  >> Invited\(\)\n  << Admit\(take_sessions=True\)\n  >> Cancelled\(\)"):
        assert playbook >> Cancelled() << SendCancel()


def test_playbook_fails_when_nobody_asserts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: faults.append(str(fault.exc_value)))
    playbook = Playbook(new_call()) >> Invited() << Admit(True)
    del playbook
    assert faults == ["unfinished playbook: 2 steps were never asserted"]


def test_description_has_every_field_when_values_are_nested() -> None:
    failure = SendFailure(Disposition("BUSY", 486, 17, "gateway one"))
    inner = "Disposition(cause=17, code='BUSY', object='gateway one', retry_after=None, status=486)"
    assert describe(failure) == f"SendFailure(disposition={inner})"


def test_values_differ_when_only_the_type_differs() -> None:
    assert same(Progressed(180, b""), Progressed(180, b""))
    assert not same(Progressed(180, b""), SendProvisional(180, b""))
    assert not same(Admitted(), Invited())
