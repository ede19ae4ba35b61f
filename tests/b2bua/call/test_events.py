"""Every event has a place in the controller's table, and no event is known to the table only."""

import typing

from b2bua.call import events
from b2bua.call.controller import HANDLERS


def test_union_names_every_event_that_there_is() -> None:
    own = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and kind.__module__ == events.__name__ and not issubclass(kind, int)
    }
    assert own == set(typing.get_args(events.Event))


def test_controller_listens_to_every_event_somewhere() -> None:
    heard = {kind for row in HANDLERS.values() for kind in row}
    assert heard == set(typing.get_args(events.Event))


def test_events_have_no_dictionary_since_a_call_makes_many() -> None:
    assert [kind for kind in typing.get_args(events.Event) if "__slots__" not in vars(kind)] == []
