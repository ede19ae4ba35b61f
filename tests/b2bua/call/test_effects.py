"""Every effect is carried out by the active call."""

import typing

from b2bua.call import active, effects


def test_union_names_every_effect_that_there_is() -> None:
    own = {kind for kind in vars(effects).values() if isinstance(kind, type) and kind.__module__ == effects.__name__}
    assert own == set(typing.get_args(effects.Effect))


def test_active_call_carries_out_every_effect() -> None:
    assert set(active._EFFECTS) == set(typing.get_args(effects.Effect))


def test_effects_have_no_dictionary_since_a_call_makes_many() -> None:
    assert [kind for kind in typing.get_args(effects.Effect) if "__slots__" not in vars(kind)] == []
