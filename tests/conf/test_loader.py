from pathlib import Path

import pytest

from conf.errors import InvalidSetting, UnknownSetting, UnreadableFile
from conf.loader import given, load
from conf.settings import Settings


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "softswitch.toml") -> Path:
    file = Path(name).absolute()
    file.write_text(text)
    return file


class TestGiven:
    def test_each_value_is_named_with_what_gives_it(self) -> None:
        file = write('[system]\nnode = "a"\n[sip]\nt1 = 1')
        environ = {"SOFTSWITCH_SYSTEM__NODE": "b", "SOFTSWITCH_BAN__TIME": "60"}
        assert given(file, environ) == {
            ("system", "node"): ("b", "SOFTSWITCH_SYSTEM__NODE"),
            ("sip", "t1"): (1.0, str(file)),
            ("ban", "time"): (60, "SOFTSWITCH_BAN__TIME"),
        }

    def test_nothing_is_given_when_there_is_neither(self) -> None:
        assert given(environ={"PATH": "/bin"}) == {}


class TestFile:
    def test_loader_returns_defaults_when_there_is_no_file(self) -> None:
        assert load(environ={}) == Settings()

    def test_loader_reads_the_argument_before_the_variable(self) -> None:
        named = write('[system]\nnode = "variable"', "b.toml")
        chosen = write('[system]\nnode = "argument"', "a.toml")
        assert load(chosen, {"SOFTSWITCH_CONFIG": str(named)}).system.node == "argument"

    def test_loader_reads_the_variable_before_the_current_directory(self) -> None:
        write('[system]\nnode = "directory"')
        named = write('[system]\nnode = "variable"', "b.toml")
        assert load(environ={"SOFTSWITCH_CONFIG": str(named)}).system.node == "variable"

    def test_loader_reads_the_current_directory_when_nothing_is_named(self) -> None:
        write('[system]\nnode = "directory"')
        assert load(environ={}).system.node == "directory"

    def test_loader_refuses_a_named_file_that_is_missing(self) -> None:
        with pytest.raises(UnreadableFile, match=r"nope\.toml: No such file"):
            load(Path("nope.toml"), {})

    def test_loader_refuses_a_file_that_is_not_toml(self) -> None:
        with pytest.raises(UnreadableFile, match="is not TOML"):
            load(write("[system"), {})

    def test_loader_names_the_nearest_section_when_one_is_unknown(self) -> None:
        with pytest.raises(UnknownSetting, match=r"no section \[databse\]; did you mean \[database\]\?"):
            load(write('[databse]\nurl = ""'), {})

    def test_loader_names_the_nearest_setting_when_one_is_unknown(self) -> None:
        with pytest.raises(UnknownSetting, match=r"\[sip\] has no setting lisen; did you mean sip\.listen\?"):
            load(write("[sip]\nlisen = []"), {})

    def test_loader_lists_the_settings_when_none_is_near(self) -> None:
        with pytest.raises(UnknownSetting, match="has no setting xyzzy; there are url, when_away, timeout"):
            load(write("[live]\nxyzzy = 1"), {})

    def test_loader_refuses_a_setting_outside_a_section(self) -> None:
        with pytest.raises(InvalidSetting, match=r"write \[sip\]"):
            load(write("sip = 1"), {})


class TestValues:
    def test_loader_takes_whole_numbers_for_seconds(self) -> None:
        drain = load(write("[system]\ndrain = 5"), {}).system.drain
        assert drain == 5.0
        assert isinstance(drain, float)

    def test_loader_makes_tuples_of_lists(self) -> None:
        assert load(write("[call]\nfailover_codes = [486]"), {}).call.failover_codes == (486,)

    @pytest.mark.parametrize(
        ("text", "right"),
        [
            ("[system]\nnode = 1", "text in quotes"),
            ("[sip]\nmax_calls = 1.5", "a whole number"),
            ("[sip]\nmax_calls = true", "a whole number"),
            ("[sip]\nt1 = true", "a number"),
            ("[sip]\nt1 = nan", "a number"),
            ("[sip]\nt1 = inf", "a number"),
            ('[sip]\nlisten = "udp://0.0.0.0:5060"', "a list of texts"),
            ("[call]\nfailover_codes = [-1]", "a list of whole numbers"),
            ('[panel]\nsecure_cookie = "yes"', "true or false"),
            ("[call]\nmax_duration = -1", "zero or more"),
            ("[sip]\nt1 = -0.5", "zero or more"),
            ('[system]\nlog_level = "loud"', "one of debug, info, warning, error"),
        ],
    )
    def test_loader_says_what_would_be_right_when_a_value_is_wrong(self, text: str, right: str) -> None:
        with pytest.raises(InvalidSetting, match=f"it must be {right}"):
            load(write(text), {})


class TestEnvironment:
    def test_environment_stands_above_the_file(self) -> None:
        file = write('[database]\nurl = "postgresql://file/"')
        settings = load(file, {"SOFTSWITCH_DATABASE__URL": "postgresql://environment/"})
        assert settings.database.url == "postgresql://environment/"

    def test_environment_separates_lists_by_commas(self) -> None:
        environ = {"SOFTSWITCH_SIP__LISTEN": "udp://192.0.2.1:5060, tcp://192.0.2.1:5060"}
        environ |= {"SOFTSWITCH_CALL__FAILOVER_CODES": "480,503"}
        settings = load(environ=environ)
        assert settings.sip.listen == ("udp://192.0.2.1:5060", "tcp://192.0.2.1:5060")
        assert settings.call.failover_codes == (480, 503)

    @pytest.mark.parametrize(("text", "value"), [("true", True), ("on", True), ("1", True), ("NO", False)])
    def test_environment_knows_words_for_truth(self, text: str, value: bool) -> None:
        assert load(environ={"SOFTSWITCH_PANEL__SECURE_COOKIE": text}).panel.secure_cookie is value

    def test_environment_is_refused_when_a_number_is_none(self) -> None:
        with pytest.raises(InvalidSetting, match=r'SOFTSWITCH_SIP__T1: sip\.t1 is "fast"; it must be a number'):
            load(environ={"SOFTSWITCH_SIP__T1": "fast"})

    def test_environment_is_refused_when_a_section_or_setting_is_unknown(self) -> None:
        with pytest.raises(UnknownSetting, match=r"did you mean \[database\]"):
            load(environ={"SOFTSWITCH_DATABASES__URL": ""})
        with pytest.raises(UnknownSetting, match="SOFTSWITCH_LIVE__URLS"):
            load(environ={"SOFTSWITCH_LIVE__URLS": ""})

    def test_environment_is_refused_when_an_underscore_is_missing(self) -> None:
        with pytest.raises(UnknownSetting, match="did you mean SOFTSWITCH_DATABASE__URL"):
            load(environ={"SOFTSWITCH_DATABASE_URL": "postgresql://environment/"})

    def test_environment_may_hold_other_variables(self) -> None:
        others = {"SOFTSWITCH_READY_FD": "3", "SOFTSWITCH_SERVICE_HOST": "192.0.2.1", "HOME": "/"}
        assert load(environ=others) == Settings()
