"""The system's secret in its key file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.secret import CARRIERS, UnreadableSecret, Vault, derive_key, load_secret
from conf.settings import Settings
from tests.support.servers import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path / "data")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "secret.key"


class TestSecret:
    def test_secret_is_made_when_there_is_none(self, settings: Settings, path: Path) -> None:
        secret = load_secret(settings)
        assert len(bytes.fromhex(secret.decode())) == 32
        assert path.read_bytes() == secret
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["secret.key"]

    def test_secret_stays_the_same_when_it_is_asked_for_again(self, settings: Settings) -> None:
        assert load_secret(settings) == load_secret(settings)

    def test_secret_is_another_in_another_system(self, tmp_path: Path) -> None:
        assert load_secret(settings_in(tmp_path / "one")) != load_secret(settings_in(tmp_path / "other"))

    def test_secret_is_for_the_owner_only_when_the_umask_is_open(self, settings: Settings, path: Path) -> None:
        before = os.umask(0)
        try:
            load_secret(settings)
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == 0o600

    def test_secret_of_a_backup_is_read_when_an_editor_added_a_line_end(self, settings: Settings, path: Path) -> None:
        secret = load_secret(settings)
        path.write_bytes(secret + b"\n")
        assert load_secret(settings) == secret

    def test_secret_is_made_when_an_earlier_start_was_broken_off(self, settings: Settings, path: Path) -> None:
        path.parent.mkdir()
        (path.parent / f"secret.{os.getpid()}").write_bytes(b"half")
        assert len(load_secret(settings)) == 64
        assert load_secret(settings) == path.read_bytes()

    def test_processes_agree_when_they_start_together(self, settings: Settings, path: Path) -> None:
        code = (
            "import sys; from conf.secret import load_secret; from tests.support.servers import settings_in;"
            "print('ready', flush=True); sys.stdin.readline();"
            "print(load_secret(settings_in(sys.argv[1])).decode())"
        )
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(path.parent)],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        secrets = {child.communicate("go\n", 30)[0].strip() for child in children}
        assert secrets == {path.read_text()}


class TestUnreadable:
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
    def test_secret_is_refused_when_others_may_read_it(self, settings: Settings, path: Path, mode: int) -> None:
        load_secret(settings)
        path.chmod(mode)
        with pytest.raises(UnreadableSecret, match="0600"):
            load_secret(settings)

    @pytest.mark.parametrize("content", [b"", b"\n", b"0123456789abcdef", b" " * 64])
    def test_secret_is_refused_when_the_file_is_damaged(self, settings: Settings, path: Path, content: bytes) -> None:
        load_secret(settings)
        path.write_bytes(content)
        with pytest.raises(UnreadableSecret, match="damaged"):
            load_secret(settings)
        assert path.read_bytes() == content


class TestDerivedKeys:
    def test_key_is_the_same_when_secret_and_purpose_are(self) -> None:
        assert derive_key(b"secret", "nonce") == derive_key(b"secret", "nonce")
        assert len(derive_key(b"secret", "nonce")) == 32

    def test_key_is_another_when_secret_or_purpose_is(self) -> None:
        keys = {derive_key(secret, purpose) for secret in (b"one", b"two") for purpose in ("nonce", "session", "")}
        assert len(keys) == 6

    def test_key_is_that_of_rfc_4231_test_case_2(self) -> None:
        assert derive_key(b"Jefe", "what do ya want for nothing?").hex() == (
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        )


class TestVault:
    """Secrets that must be read back."""

    @pytest.mark.parametrize("text", ["", "secret", "a b'\"\\", "Grüße 🙂", "x" * 10_000])
    def test_text_is_read_back(self, text: str) -> None:
        vault = Vault(b"key", CARRIERS)
        sealed = vault.seal(text)
        assert vault.open(sealed) == text
        assert text not in sealed or not text

    def test_same_text_looks_different_each_time(self) -> None:
        vault = Vault(b"key", CARRIERS)
        assert vault.seal("secret") != vault.seal("secret")

    @pytest.mark.parametrize(("secret", "purpose"), [(b"other", CARRIERS), (b"key", "mail")])
    def test_text_is_refused_when_key_or_purpose_is_another(self, secret: bytes, purpose: str) -> None:
        sealed = Vault(b"key", CARRIERS).seal("secret")
        with pytest.raises(UnreadableSecret, match=r"secret\.key"):
            Vault(secret, purpose).open(sealed)

    @pytest.mark.parametrize("sealed", ["", "1.", "secret", "2.AAAA", "1.AAAA", "1.!", "1.ü", f"1.{'A' * 80}"])
    def test_text_is_refused_when_it_is_none_of_ours(self, sealed: str) -> None:
        with pytest.raises(UnreadableSecret):
            Vault(b"key", CARRIERS).open(sealed)

    def test_text_is_refused_when_it_was_changed(self) -> None:
        vault = Vault(b"key", CARRIERS)
        sealed = vault.seal("secret")
        for place in range(2, len(sealed)):
            changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
            with pytest.raises(UnreadableSecret):
                vault.open(changed)

    def test_text_is_refused_when_a_bit_was_changed_that_encodes_nothing(self) -> None:
        vault = Vault(b"key", CARRIERS)
        sealed = vault.seal("secret")
        assert sealed.endswith("==")
        with pytest.raises(UnreadableSecret):
            vault.open(f"{sealed[:-3]}{chr(ord(sealed[-3]) + 1)}==")

    def test_message_tells_nothing_of_the_secret(self) -> None:
        with pytest.raises(UnreadableSecret) as caught:
            Vault(b"key", CARRIERS).open("plain text")
        assert "plain" not in str(caught.value)
