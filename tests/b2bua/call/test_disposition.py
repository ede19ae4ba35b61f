"""Which SIP status and Q.850 cause every failure has, and what follows from it (docs/behaviour.md §2 and §4)."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from b2bua.call.disposition import REFUSALS, Disposition, carrier_failure, refusal, towards_caller, tries_next
from conf.settings import CallSettings
from tests.support.playbook import FAILOVER_CODES, same

TABLE = {
    # docs/behaviour.md §2
    "DEVICE_INACTIVE": (403, 21),
    "ACCOUNT_INACTIVE": (403, 21),
    "CPS_LIMIT": (503, 42),
    "CODEC_NOT_ALLOWED": (488, 65),
    "NUMBER_NOT_ALLOWED": (404, 1),
    "NUMBER_BLOCKED": (404, 21),
    "CLI_NOT_ALLOWED": (403, 21),
    "CLI_BLOCKED": (603, 21),
    "NO_RATE": (503, 34),
    "RATE_BLOCKED": (503, 34),
    "TARIFF_INACTIVE": (503, 34),
    "CURRENCY_MISMATCH": (503, 34),
    "NO_DIALING_ROUTE": (404, 3),
    "NO_ROUTE": (404, 3),
    "LOSS_ROUTE": (503, 34),
    "LOOP": (482, 25),
    "SESSION_LIMIT": (503, 34),
    "NO_FUNDS": (402, 21),
    "CARRIER_LIMIT": (503, 34),
    "NOT_REGISTERED": (480, 20),
    "NO_MEDIA": (503, 47),
    "LIVE_STORE_AWAY": (503, 41),
    "DRAINING": (503, 41),
    "OVERLOAD": (503, 42),
    "DID_NOT_FOUND": (404, 1),
    "DID_INACTIVE": (404, 1),
    "DID_LIMIT": (503, 34),
    # §4
    "NO_RESPONSE": (504, 102),
    "RING_TIMEOUT": (480, 19),
}
OTHERS = {
    "ADDRESS_NOT_ALLOWED": (403, 21),  # §1.5
    "BAD_REQUEST": (400, 111),
    "CANCELLED": (487, 16),
    "NO_PRACK": (504, 102),
    "NO_DIALOG": (481, 41),
    "TRANSPORT_FAILURE": (503, 38),
    "HANGUP_BY_OPERATOR": (480, 31),
    "ACCOUNT_SUSPENDED": (403, 21),
    "DO_NOT_DISTURB": (486, 17),
    "INTERNAL_ERROR": (500, 41),
}
"""What is our own, and not in that document's table."""


def written_down() -> Iterator[tuple[str, int, int]]:
    """Code, SIP status and cause of the tables of docs/behaviour.md §2.

    Several codes of a row may have a status or a cause each, or share the last; LOOP has a second status.
    """
    text = Path(__file__).parents[3].joinpath("docs/behaviour.md").read_text(encoding="utf-8")
    section = text[text.index("\n## 2.") : text.index("\n## 3.")]
    for _, codes, statuses, causes in re.findall(r"^\|(.*)\|([A-Z_, /]+)\|([0-9, /]+)\|([0-9, /]+)\|$", section, re.M):
        status = cause = 0
        rows = (re.findall(r"[A-Z_]+", codes), re.findall("[0-9]+", statuses), re.findall("[0-9]+", causes))
        for code, own_status, own_cause in zip_longest(*rows):
            status, cause = int(own_status or status), int(own_cause or cause)
            if code:
                yield code, status, cause


class TestDocument:
    @pytest.mark.parametrize(("code", "status", "cause"), list(written_down()))
    def test_code_is_answered_as_it_is_written_down(self, code: str, status: int, cause: int) -> None:
        disposition = refusal(code)
        assert (disposition.code, disposition.status, disposition.cause) == (code, status, cause)

    def test_document_has_every_code(self) -> None:
        assert {code for code, _, _ in written_down()} >= set(TABLE) - {"NO_RESPONSE", "RING_TIMEOUT"}


class TestRefusal:
    @pytest.mark.parametrize("code", TABLE | OTHERS)
    def test_code_is_known(self, code: str) -> None:
        assert code in REFUSALS

    @pytest.mark.parametrize("code", REFUSALS)
    def test_code_has_status_and_cause_of_the_table(self, code: str) -> None:
        status, cause = (TABLE | OTHERS)[code]
        retry_after = {"OVERLOAD": 5, "LIVE_STORE_AWAY": 5}.get(code)
        assert same(refusal(code, "account C1"), Disposition(code, status, cause, "account C1", retry_after))

    def test_only_two_codes_ask_the_peer_to_stay_away(self) -> None:
        assert {code for code in REFUSALS if refusal(code).retry_after is not None} == {"OVERLOAD", "LIVE_STORE_AWAY"}

    def test_loop_is_483_when_the_hops_are_used_up(self) -> None:
        assert same(refusal("LOOP", "Max-Forwards"), Disposition("LOOP", 483, 25, "Max-Forwards"))
        assert same(refusal("LOOP", "Via"), Disposition("LOOP", 482, 25, "Via"))

    def test_status_is_500_when_the_code_is_unknown(self) -> None:
        assert same(refusal("NEVER_HEARD_OF"), Disposition("NEVER_HEARD_OF", 500, 41))


class TestCarrierFailure:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (486, "BUSY"),
            (600, "BUSY"),
            (480, "NO_ANSWER"),
            (408, "NO_ANSWER"),
            (603, "REJECTED"),
            (404, "NUMBER_UNKNOWN"),
            (410, "NUMBER_UNKNOWN"),
            (484, "NUMBER_UNKNOWN"),
            (604, "NUMBER_UNKNOWN"),
            (403, "CARRIER_FAILURE"),
            (487, "CARRIER_FAILURE"),
            (500, "CARRIER_FAILURE"),
            (503, "CARRIER_FAILURE"),
            (302, "CARRIER_FAILURE"),
        ],
    )
    def test_record_says_what_the_carrier_said(self, status: int, code: str) -> None:
        failure = carrier_failure(status, 42, "gateway one")
        assert same(failure, Disposition(code, status, 42, "gateway one"))

    @pytest.mark.parametrize(
        ("status", "cause"),
        [
            # RFC 3398 §8.2.6.1
            (401, 21), (402, 21), (403, 21), (404, 1), (405, 63), (406, 79), (407, 21), (408, 102),
            (410, 22), (413, 127), (414, 127), (415, 79), (416, 127), (420, 127), (421, 127), (423, 127), (480, 18),
            (481, 41), (482, 25), (483, 25), (484, 28), (485, 1), (486, 17), (500, 41), (501, 79), (502, 38), (503, 41),
            (504, 102), (505, 127), (513, 127), (600, 17), (603, 21), (604, 1),
            # ours: 3398 has 41 for 400, and none for the rest
            (400, 111), (487, 16), (488, 65), (606, 65), (491, 41), (699, 31), (302, 31),
        ],
    )  # fmt: skip
    def test_cause_follows_from_the_status_when_the_carrier_named_none(self, status: int, cause: int) -> None:
        assert carrier_failure(status, None, "").cause == cause

    def test_carriers_cause_stands_when_it_is_zero(self) -> None:
        assert carrier_failure(503, 0, "").cause == 0


class TestTriesNext:
    @pytest.mark.parametrize("status", range(300, 700))
    def test_next_is_tried_after_the_codes_of_the_list_and_no_others(self, status: int) -> None:
        assert tries_next(status, None, FAILOVER_CODES) == (status in FAILOVER_CODES)

    @pytest.mark.parametrize("status", [404, 410])
    def test_search_stops_when_the_number_does_not_exist(self, status: int) -> None:
        assert not tries_next(status, 1, FAILOVER_CODES)
        assert tries_next(status, 3, FAILOVER_CODES)

    @pytest.mark.parametrize("cause", [None, *range(128)])
    def test_480_goes_on_only_when_the_network_is_the_reason(self, cause: int | None) -> None:
        assert tries_next(480, cause, FAILOVER_CODES) == (cause in (34, 38, 41, 42, 44, 47))

    @pytest.mark.parametrize("status", [484, 486, 487, 600, 603, 604])
    def test_stop_code_stops_when_the_list_names_it(self, status: int) -> None:
        assert not tries_next(status, None, frozenset({status}))

    def test_setting_has_the_list_of_the_document_when_nothing_is_set(self) -> None:
        assert frozenset(CallSettings().failover_codes) == FAILOVER_CODES


class TestTowardsCaller:
    @pytest.mark.parametrize("status", [401, 402, 403, 407, 420, 421, 487])
    def test_carriers_quarrel_becomes_503(self, status: int) -> None:
        last = Disposition("CARRIER_FAILURE", status, 21, "gateway one")
        assert same(towards_caller(last), Disposition("CARRIER_FAILURE", 503, 21, "gateway one"))

    @pytest.mark.parametrize("status", [404, 408, 410, 480, 484, 486, 488, 500, 503, 504, 600, 603, 604])
    def test_other_failures_are_passed_on_as_they_are(self, status: int) -> None:
        last = Disposition("CARRIER_FAILURE", status, 1, "gateway one")
        assert same(towards_caller(last), last)

    def test_487_stays_when_the_caller_cancelled(self) -> None:
        assert towards_caller(refusal("CANCELLED")).status == 487

    def test_silence_is_504_with_cause_102(self) -> None:
        last = towards_caller(refusal("NO_RESPONSE", "gateway one"))
        assert (last.status, last.cause) == (504, 102)
