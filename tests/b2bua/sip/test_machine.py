"""What the four tables share."""

import pytest

from b2bua.sip import invite_client, invite_server, non_invite_client, non_invite_server
from b2bua.sip.events import RequestReceived
from b2bua.sip.machine import ENDED, FAILED, IGNORE, TIMED_OUT, Action, Input, Table
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import Transaction
from tests.support.sip import Switch, our_request, parse_request, parse_response, request, response

TABLES = {
    "invite_client": invite_client.TRANSITIONS,
    "invite_server": invite_server.TRANSITIONS,
    "non_invite_client": non_invite_client.TRANSITIONS,
    "non_invite_server": non_invite_server.TRANSITIONS,
}


def actions_of(table: Table) -> set[Action]:
    return {action for row in table.values() for _, actions in row.values() for action in actions}


TOLD = {Action.PASS_UP, Action.TIMED_OUT, Action.FAILED}
"""Actions of which the user hears."""
SENDING = {Action.SEND, Action.RESEND, Action.SEND_TRYING, Action.SEND_ACK}
FORGETTING = {Action.FORGET_REQUEST, Action.FORGET_ALL}
EMPTYING = {Action.FORGET_ALL, Action.END}
STATUSES = {
    Input.RECV_1XX: 180,
    Input.RECV_2XX: 200,
    Input.RECV_300_699: 486,
    Input.SEND_1XX: 180,
    Input.SEND_2XX: 200,
    Input.SEND_300_699: 486,
}


def begin(switch: Switch, name: str) -> tuple[Transaction, Request]:
    """A transaction for the table of this name, and its request."""
    method = "BYE" if name.startswith("non_") else "INVITE"
    if name.endswith("client"):
        asked = our_request(method)
        transaction: Transaction = switch.send(asked)
    else:
        switch.receive(request(method))
        event = switch.take_event(RequestReceived)
        transaction, asked = event.transaction, event.request
    transaction.sent = b"sent before"
    switch.take_sent()
    return transaction, asked


def message_of(happened: Input, asked: Request) -> Request | Response | None:
    """What comes with an input."""
    if happened in STATUSES:
        return parse_response(response(asked, STATUSES[happened]))
    if happened == Input.RECV_ACK:
        return parse_request(request("ACK"))
    return asked if happened in (Input.SEND_REQUEST, Input.RECV_REQUEST) else None


class TestWalk:
    """Every pair of a state and an input, carried out by the transaction layer."""

    @pytest.mark.parametrize("name", TABLES)
    def test_every_input_in_every_state_does_what_the_table_says(self, name: str) -> None:
        for state, row in TABLES[name].items():
            for happened, (following, actions) in row.items():
                switch = Switch()
                transaction, asked = begin(switch, name)
                transaction.state = state
                switch.layer._drive(transaction, happened, message_of(Input(happened), asked))
                pair = (state, Input(happened).name)
                assert (transaction.state, pair) == (following, pair)
                events, outgoing = switch.layer.take_events(), switch.layer.take_outgoing()
                assert (len(events), pair) == (sum(action in TOLD for action in actions), pair)
                assert (len(outgoing), pair) == (sum(action in SENDING for action in actions), pair)
                assert (switch.layer.count, pair) == (int(Action.END not in actions), pair)
                assert (transaction.request is None, pair) == (not FORGETTING.isdisjoint(actions), pair)
                assert (transaction.sent == b"", pair) == (not EMPTYING.isdisjoint(actions), pair)


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
