"""What the four tables share."""

import pytest

from b2bua.sip import invite_client, invite_server, non_invite_client, non_invite_server
from b2bua.sip.machine import ENDED, FAILED, IGNORE, TIMED_OUT, Action, Input, Table
from tests.support.sip import Switch

TABLES = {
    "invite_client": invite_client.TRANSITIONS,
    "invite_server": invite_server.TRANSITIONS,
    "non_invite_client": non_invite_client.TRANSITIONS,
    "non_invite_server": non_invite_server.TRANSITIONS,
}


def actions_of(table: Table) -> set[Action]:
    return {action for row in table.values() for _, actions in row.values() for action in actions}


class TestTables:
    """RFC 3261 §17."""

    def test_every_action_has_a_method(self) -> None:
        # START_TRYING is done when the transaction is made, not by a table.
        used = {Action.START_TRYING}.union(*map(actions_of, TABLES.values()))
        assert used == set(Action)
        assert used == set(Switch().layer._actions)

    def test_every_input_belongs_to_a_table(self) -> None:
        used = {happened for table in TABLES.values() for row in table.values() for happened in row}
        assert used == set(Input)

    @pytest.mark.parametrize("name", TABLES)
    def test_transaction_is_removed_exactly_when_it_terminates(self, name: str) -> None:
        table = TABLES[name]
        terminated = max(table)
        for state, row in table.items():
            for following, actions in row.values():
                assert (Action.END in actions) == (following == terminated and state != terminated)

    @pytest.mark.parametrize("name", TABLES)
    def test_every_timer_that_is_started_is_waited_for(self, name: str) -> None:
        table = TABLES[name]
        for action in actions_of(table):
            if action.name.startswith("START_"):
                timer = Input[action.name.replace("START", "TIMER")]
                assert any(row[timer][1] for row in table.values())

    def test_shorthands_end_the_transaction_last(self) -> None:
        assert IGNORE == ()
        assert all(actions[-1] is Action.END for actions in (ENDED, FAILED, TIMED_OUT))
