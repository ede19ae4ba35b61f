"""The record of an attempt: its duration, its charges, and the row that it becomes."""

import math
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.media import COLUMNS as MEDIA_COLUMNS
from cdr.record import CARRIER_LEVEL, COLUMNS, AttemptRecord, Level, finish, moment, to_row
from tests.support.records import ARRIVED, make_billing, make_level, make_rate, make_record
from tests.support.servers import Run

SECOND = make_rate("0.60", minimum=0)
"""A cent a second."""


def row_of(record: AttemptRecord) -> dict[str, object]:
    """The row of a record that has been through the journal."""
    return dict(zip(COLUMNS, to_row(orjson.loads(orjson.dumps(record))), strict=True))


def billed(answered_at: float, ended_at: float) -> tuple[float, int]:
    """Duration and billed seconds of a call."""
    record = make_record(answered_at=answered_at)
    (charge,) = finish(record, [make_level(rate=SECOND)], ended_at)
    return record.duration, charge[5]


class TestDuration:
    """docs/behaviour.md §6: answered to ended, rounded up to whole seconds."""

    @pytest.mark.parametrize(
        ("milliseconds", "seconds"),
        [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (59_999, 60), (60_000, 60), (60_001, 61), (7_200_000, 7200)],
    )
    def test_call_is_billed_in_whole_seconds_rounded_up_from_milliseconds(
        self, milliseconds: int, seconds: int
    ) -> None:
        assert billed(ARRIVED, ARRIVED + milliseconds / 1000) == (milliseconds / 1000, seconds)

    @pytest.mark.parametrize("fraction", [0.0, 0.1, 0.123, 0.3, 0.57, 0.7, 0.999])
    def test_call_of_a_minute_is_billed_a_minute_when_its_clock_readings_are_not_exact(self, fraction: float) -> None:
        assert billed(ARRIVED + fraction, ARRIVED + fraction + 60.0) == (60.0, 60)

    @pytest.mark.parametrize("microseconds", [(0, 400), (100, 400), (499, 500 - 1), (999_600, 999_900)])
    def test_call_of_a_minute_is_billed_a_minute_when_its_clock_readings_are_microseconds_off(
        self, microseconds: tuple[int, int]
    ) -> None:
        answered_at, ended_at = (ARRIVED + part / 1e6 for part in microseconds)
        assert billed(answered_at, ended_at + 60.0) == (60.0, 60)

    @given(st.floats(1.7e9, 2.2e9), st.integers(0, 100_000))
    def test_call_of_whole_seconds_is_billed_just_those(self, answered_at: float, seconds: int) -> None:
        assert billed(answered_at, answered_at + seconds) == (float(seconds), seconds)

    @given(st.floats(1.7e9, 2.2e9), st.floats(0, 100_000))
    def test_call_is_billed_what_its_duration_says(self, answered_at: float, length: float) -> None:
        duration, seconds = billed(answered_at, answered_at + length)
        assert abs(duration - length) < 0.0015
        assert seconds == math.ceil(duration)

    def test_call_lasts_no_time_when_the_clock_was_set_back(self) -> None:
        assert billed(ARRIVED, ARRIVED - 3600) == (0.0, 0)


class TestCharges:
    def test_levels_are_charged_each_by_its_own_rate(self) -> None:
        record = make_record(answered_at=ARRIVED)
        levels = [
            make_level(0, make_rate("1", rate_id=10), make_billing(decimals=2, taxes=("19",)), account_id=7),
            make_level(1, make_rate("0.5", rate_id=11, minimum=60, resolution=60), account_id=8, tariff_id=2),
            make_level(
                CARRIER_LEVEL, make_rate("0.3", rate_id=12), account_id=None, carrier_id=9, tariff_id=3, currency="USD"
            ),
        ]
        charges = finish(record, levels, ARRIVED + 90)
        assert charges == [
            [0, 7, None, 1, 10, 90, "1.50", "0.29", "1.79", "EUR", "0.5000000000"],
            [1, 8, None, 2, 11, 120, "1.0000", "0.0000", "1.0000", "EUR", "0.5500000000"],
            [-1, None, 9, 3, 12, 90, "0.4500", "0.0000", "0.4500", "USD", None],
        ]
        assert (record.gross, record.currency, record.duration) == ("1.79", "EUR", 90.0)

    def test_attempt_is_not_charged_when_it_was_not_answered(self) -> None:
        record = make_record(sip_code=486, code="BUSY")
        assert finish(record, [make_level()], ARRIVED + 90) == []
        assert (record.gross, record.currency, record.duration) == (None, None, 0.0)
        assert record.ended_at == ARRIVED + 90

    def test_price_of_the_record_is_unknown_when_only_the_carrier_is_charged(self) -> None:
        record = make_record(answered_at=ARRIVED)
        finish(record, [make_level(CARRIER_LEVEL, account_id=None, carrier_id=9)], ARRIVED + 1)
        assert (record.gross, record.currency) == (None, None)

    def test_charges_hold_no_float(self) -> None:
        (charge,) = finish(make_record(answered_at=ARRIVED), [make_level()], ARRIVED + 1.5)
        assert not any(isinstance(value, float) for value in charge)


levels = st.builds(
    make_level,
    st.integers(-1, 5),
    st.builds(
        make_rate,
        st.decimals(0, 1000, places=10).map(str),
        st.text("0123456789*#", max_size=8),
        rate_id=st.integers(1, 2**40),
        connection=st.decimals(0, 9, places=4).map(str),
        minimum=st.integers(0, 120),
        resolution=st.integers(1, 120),
        mode=st.sampled_from(["from_zero", "after_minimum"]),
        grace=st.integers(0, 9),
        multiplier=st.decimals(0, 9, places=4).map(str),
        addition=st.decimals(0, 9, places=4).map(str),
    ),
    st.builds(
        make_billing,
        decimals=st.integers(0, 10),
        rounding=st.sampled_from(["ROUND", "CEIL"]),
        taxes=st.lists(st.decimals(0, 99, places=4).map(str), max_size=3),
        inclusive=st.booleans(),
    ),
    account_id=st.none() | st.integers(1, 2**40),
    carrier_id=st.none() | st.integers(1, 2**40),
)


class TestJSON:
    @given(levels)
    def test_level_is_the_same_when_it_has_been_through_the_journal(self, level: Level) -> None:
        again = Level.from_json(orjson.loads(orjson.dumps(level.to_json())))
        assert again == level
        assert str(again.rate.rate_per_minute) == str(level.rate.rate_per_minute)

    @given(levels, st.integers(0, 100_000))
    def test_call_costs_the_same_when_its_levels_have_been_through_the_journal(
        self, level: Level, milliseconds: int
    ) -> None:
        again = Level.from_json(orjson.loads(orjson.dumps(level.to_json())))
        ended_at = ARRIVED + milliseconds / 1000
        assert finish(make_record(answered_at=ARRIVED), [again], ended_at) == finish(
            make_record(answered_at=ARRIVED), [level], ended_at
        )

    def test_record_is_the_same_when_it_has_been_through_the_journal(self) -> None:
        record = make_record(
            answered_at=ARRIVED + 2.5, account_chain=[3, 2, 1], codecs_offered=["PCMA", "PCMU"], gross="0.10"
        )
        assert AttemptRecord(**orjson.loads(orjson.dumps(record))) == record


class TestRow:
    def test_row_has_the_columns_of_the_table_in_its_order(self, run: Run, database_url: str) -> None:
        async def columns() -> list[str]:
            connection = await asyncpg.connect(database_url)
            try:
                rows = await connection.fetch(
                    "SELECT attname FROM pg_attribute WHERE attrelid = 'cdr'::regclass AND attnum > 0 ORDER BY attnum"
                )
            finally:
                await connection.close()
            # The number of its posting is given by the database, and media engines tell their figures later.
            return [row["attname"] for row in rows if row["attname"] not in ("posted_id", *MEDIA_COLUMNS)]

        assert run(columns()) == list(COLUMNS) == [field.name for field in fields(AttemptRecord)]

    def test_times_are_aware_and_to_the_millisecond(self) -> None:
        row = row_of(make_record(received_at=1790000000.1234, answered_at=1790000001.9996, ended_at=1790000003.0))
        start = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
        assert row["received_at"] == start + timedelta(milliseconds=123)
        assert row["answered_at"] == start + timedelta(seconds=2)
        assert row["ended_at"] == start + timedelta(seconds=3)

    def test_numbers_are_decimals_as_they_were_written(self) -> None:
        row = row_of(make_record(post_dial_delay=0.1, duration=60.001, gross="0.0700"))
        assert row["post_dial_delay"] == Decimal("0.1")
        assert row["duration"] == Decimal("60.001")
        assert str(row["gross"]) == "0.0700"

    @pytest.mark.parametrize(
        "name",
        [
            "ringing_at",
            "answered_at",
            "post_dial_delay",
            "account_id",
            "carrier_id",
            "gateway_id",
            "route_id",
            "q850_cause",
            "gross",
            "currency",
        ],
    )
    def test_unknown_stays_unknown(self, name: str) -> None:
        assert row_of(make_record())[name] is None

    def test_text_loses_its_nul_when_a_peer_sent_one(self) -> None:
        row = row_of(make_record(a_user_agent="sip\0vicious\0", code="ANSWERED"))
        assert (row["a_user_agent"], row["code"]) == ("sipvicious", "ANSWERED")

    def test_codecs_lose_their_nul_when_a_peer_sent_one(self) -> None:
        assert row_of(make_record(codecs_offered=["PC\0MA", "PCMU"]))["codecs_offered"] == ["PCMA", "PCMU"]

    def test_row_leaves_the_record_alone(self) -> None:
        record = asdict(make_record(a_user_agent="a\0b", codecs_offered=["\0"]))
        before = dict(record)
        to_row(record)
        assert record == before


class TestMoment:
    def test_moment_is_unknown_when_the_seconds_are(self) -> None:
        assert moment(None) is None

    def test_moment_is_the_beginning_when_the_seconds_are_zero(self) -> None:
        assert moment(0.0) == datetime(1970, 1, 1, tzinfo=UTC)

    @given(st.integers(0, 4_000_000_000_000))
    def test_moment_has_each_millisecond_exactly(self, milliseconds: int) -> None:
        assert moment(milliseconds / 1000) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
