"""The tree of faults."""

import inspect

from b2bua.sip import errors
from b2bua.sip.errors import ParseError, SIPError


class TestTree:
    def test_every_fault_has_one_root_and_stands_in_the_docstring(self) -> None:
        for name, value in inspect.getmembers(errors, inspect.isclass):
            assert issubclass(value, SIPError)
            assert name in (errors.__doc__ or "")

    def test_parse_error_hints_400_when_nothing_else_is_said(self) -> None:
        assert ParseError("x").status_hint == 400
        assert ParseError("x", 416).status_hint == 416
        assert str(ParseError("why")) == "why"
