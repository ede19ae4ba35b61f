"""Codes of a telephone, recovery codes, and the note of a sign-in between its steps."""

import base64

import pytest

from admin import second_factor as factor
from admin.stores.users import User
from conf.secret import Vault
from conf.settings import PanelSettings, Settings

SECRET = base64.b32encode(b"12345678901234567890").decode()
"""Of the test vectors of RFC 6238, appendix B."""


class TestCodes:
    """RFC 6238."""

    @pytest.mark.parametrize(
        ("now", "code"),
        [
            (59, "287082"),
            (1111111109, "081804"),
            (1111111111, "050471"),
            (1234567890, "005924"),
            (2000000000, "279037"),
            (20000000000, "353130"),
        ],
    )
    def test_code_of_appendix_b_is_taken(self, now: int, code: str) -> None:
        assert factor.matching_step(SECRET, code, now, None) == now // 30

    def test_code_is_taken_one_step_before_and_after_and_no_further(self) -> None:
        step = 1111111109 // 30
        taken = [factor.matching_step(SECRET, "081804", 30.0 * at, None) == step for at in range(step - 2, step + 3)]
        assert taken == [False, True, True, True, False]

    def test_code_is_taken_once_as_are_those_before_it(self) -> None:
        now, step = 1111111109.0, 1111111109 // 30
        assert factor.matching_step(SECRET, "081 804", now, step - 1) == step
        assert factor.matching_step(SECRET, "081804", now, step) is None
        assert factor.matching_step(SECRET, "081804", now, step + 1) is None

    @pytest.mark.parametrize("code", ["", "0", "81804", "0818040", "０８１８０４", "081805"])
    def test_anything_else_is_refused(self, code: str) -> None:
        assert factor.matching_step(SECRET, code, 1111111109.0, None) is None

    def test_address_names_issuer_and_login(self) -> None:
        text = factor.address(SECRET, "anna1")
        assert text.startswith("otpauth://totp/softswitch:anna1?secret=GEZDGNBV")
        assert "issuer=softswitch" in text

    def test_secrets_differ_and_have_160_bits(self) -> None:
        first, second = factor.make_secret(), factor.make_secret()
        assert first != second
        assert len(base64.b32decode(first)) == 20


class TestRecoveryCodes:
    def test_ten_differ_and_are_known_however_they_are_typed(self) -> None:
        codes = factor.make_recovery_codes()
        assert len(set(codes)) == 10
        first = codes[0]
        kept = factor.hash_recovery_code(first)
        assert first.encode() not in kept
        for typed in (first.upper(), first.replace("-", ""), f" {first.replace('-', ' ')} "):
            assert factor.hash_recovery_code(typed) == kept
        assert factor.hash_recovery_code(codes[1]) != kept


class TestNote:
    def test_note_says_whose_sign_in_it_is_for_five_minutes(self) -> None:
        vault = Vault(b"s" * 32, "panel")
        note = factor.seal_sign_in(vault, 42, 1000.0)
        assert factor.open_sign_in(vault, note, 1000.0) == 42
        assert factor.open_sign_in(vault, note, 1300.0) == 42
        assert factor.open_sign_in(vault, note, 1301.0) is None
        assert factor.open_sign_in(vault, note, 999.0) is None

    def test_note_of_another_system_or_purpose_is_none(self) -> None:
        vault = Vault(b"s" * 32, "panel")
        foreign = factor.seal_sign_in(Vault(b"t" * 32, "panel"), 42, 1000.0)
        for note in ("", "1.", "x", foreign, vault.seal(SECRET), vault.seal("sign-in 42")):
            assert factor.open_sign_in(vault, note, 1000.0) is None


@pytest.mark.parametrize(
    ("role", "has", "required", "due"),
    [
        ("support", False, True, True),
        ("support", True, True, False),
        ("support", False, False, False),
        ("reseller", False, True, False),
        ("customer", False, True, False),
    ],
)
def test_second_factor_is_due_for_staff_when_the_setting_says_so(
    role: str, has: bool, required: bool, due: bool
) -> None:
    settings = Settings(panel=PanelSettings(staff_second_factor=required))
    account = None if role == "support" else 1
    user = User(1, "x", role, account, None, must_change_password=False, has_second_factor=has)
    assert factor.is_due(user, settings) is due
