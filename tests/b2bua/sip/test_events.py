"""The events of the transaction layer."""

import inspect
from typing import get_args

from b2bua.sip import events


class TestUnion:
    def test_union_names_every_event_of_the_module(self) -> None:
        here = {
            value for _, value in inspect.getmembers(events, inspect.isclass) if value.__module__ == events.__name__
        }
        assert set(get_args(events.Event)) == here

    def test_events_hold_what_their_slots_say_and_no_more(self) -> None:
        for kind in get_args(events.Event):
            assert set(inspect.signature(kind).parameters) == set(kind.__slots__)
