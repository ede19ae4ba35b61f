"""The zones that a login may choose."""

from datetime import UTC, datetime

from admin.time_zone import names, zone_of


def test_every_zone_of_the_list_is_one_that_can_be_used() -> None:
    assert names()[0] == "UTC"
    assert {"Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"} <= set(names())
    moment = datetime(2026, 7, 1, tzinfo=UTC)
    assert all(moment.astimezone(zone_of(name)) == moment for name in names())
    assert moment.astimezone(zone_of("Asia/Kolkata")).strftime("%H:%M") == "05:30"


def test_zone_that_is_none_is_utc() -> None:
    for name in ("", "UTC", "Mars/Base", "../../etc/passwd", "Etc/GMT+5"):
        assert zone_of(name) is UTC
