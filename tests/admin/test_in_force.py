"""Settings as the panel lists them: values, units, where they came from, nothing secret."""

from dataclasses import replace
from pathlib import Path

import pytest

from admin.in_force import DEFAULT, STARTED_WITH, Setting, in_force, read_origins
from conf.loader import load
from conf.settings import Settings


def listed(settings: Settings, origins: dict[tuple[str, str], str] | None = None) -> dict[str, Setting]:
    return {
        f"{section.name}.{setting.name}": setting
        for section in in_force(settings, origins or {})
        for setting in section.settings
    }


def test_every_setting_is_listed_with_its_unit_and_meaning() -> None:
    found = listed(Settings())
    assert len(found) > 70
    assert all(setting.meaning and setting.origin == DEFAULT for setting in found.values())
    drain = found["system.drain"]
    assert (drain.value, drain.unit, drain.is_set) == ("30", "s", False)
    assert found["sip.listen"].value == "udp://0.0.0.0:5060, tcp://0.0.0.0:5060"
    assert found["panel.secure_cookie"].value == "no"
    assert found["call.failover_codes"].value.endswith("408, 410, 483, 488, 500-599")
    assert found["database.url"].value == ""


def test_origin_is_the_file_or_the_variable_that_stands_above_it(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[system]\nnode = "a"\ndrain = 5\n[ban]\ntime = 60\n')
    environ = {"SOFTSWITCH_SYSTEM__NODE": "b"}
    found = listed(load(file, environ), read_origins(file, environ))
    assert (found["system.node"].value, found["system.node"].origin) == ("b", "SOFTSWITCH_SYSTEM__NODE")
    assert (found["system.drain"].value, found["system.drain"].origin) == ("5", str(file))
    assert found["ban.time"].origin == str(file)
    assert found["ban.window"].origin == DEFAULT


def test_value_that_came_by_other_means_is_told_so(tmp_path: Path) -> None:
    settings = replace(Settings(), system=replace(Settings().system, node="other"))
    assert listed(settings)["system.node"].origin == STARTED_WITH
    assert read_origins(tmp_path / "missing.toml", {}) == {}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://switch:s3cret@db/softswitch",
        "postgresql://:s3cret@db:5432/softswitch",
        "postgresql://db/softswitch?password=s3cret",
        "postgresql://db/softswitch?user=a&password=s3cret@x",
        "postgresql://switch:s3cret@[half/softswitch",
    ],
)
def test_password_of_a_url_is_left_out(url: str) -> None:
    settings = replace(Settings(), database=replace(Settings().database, url=url))
    settings = replace(settings, live=replace(settings.live, url=url), hep=replace(settings.hep, url=url))
    settings = replace(settings, media=replace(settings.media, engines=(url, "own")))
    text = str(listed(settings))
    assert "s3cret" not in text
    if "[half" not in url:
        assert "postgresql://" in text
