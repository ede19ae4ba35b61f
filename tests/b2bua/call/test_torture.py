"""What the user agent answers to the torture tests of RFC 4475 §3.3 that the transaction layer lets through."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.b2bua.call.rig import Rig
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]
DIRECTORY = Path(__file__).parents[2] / "data/torture"


def torture(name: str) -> bytes:
    """A message of the set."""
    (path,) = DIRECTORY.glob(f"*valid/{name}.dat")
    return path.read_bytes()


class TestApplication:
    @on_loop
    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("unkscm", 416),
            ("novelsc", 416),
            ("bext01", 420),
            ("invut", 415),
            ("zeromf", 200),
            ("semiuri", 200),
            ("ipv6-correct-abnf-2-colons", 200),
            ("via-received-param-with-delim", 481),
            ("wsinv", 481),
            ("intmeth", 501),
            ("esc02", 501),
            ("sdp01", 406),
        ],
    )
    async def test_request_gets_the_status_that_the_document_names(
        self, make_rig: MakeRig, name: str, status: int
    ) -> None:
        rig = make_rig()
        assert rig.send(torture(name)).status == status

    @on_loop
    async def test_unsupported_extensions_are_named(self, make_rig: MakeRig) -> None:
        answer = make_rig().send(torture("bext01"))
        assert {part.strip() for part in answer.headers["unsupported"][0].split(",")} == {
            "nothingSupportsThis",
            "nothingSupportsThisEither",
            "noProxiesSupportThis",
            "norDoAnyProxiesSupportThis",
        }

    @on_loop
    @pytest.mark.parametrize("name", ["regaut01", "unksm2", "regbadct", "cparam01"])
    async def test_registration_is_challenged_whatever_else_is_wrong_with_it(
        self, make_rig: MakeRig, name: str
    ) -> None:
        rig = make_rig()
        rig.register()
        assert rig.send(torture(name)).status == 401

    @on_loop
    @pytest.mark.parametrize(
        "name", ["esc01", "longreq", "escruri", "baddate", "inv2543", "ipv6-in-sdp", "ipv4-mapped-ipv6"]
    )
    async def test_call_is_decided_like_any_other(self, make_rig: MakeRig, name: str) -> None:
        rig = make_rig()
        rig.carrier(refuse=486)
        answer = rig.send(torture(name))
        assert len(rig.records()) == 1  # what is malformed has none
        assert answer.status not in {400, 500}
