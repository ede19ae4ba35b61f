"""What the policy decides is what the controller expects; mypy reads this file, too."""

from b2bua.call.controller import Call, State
from b2bua.call.events import Invited
from b2bua.call.ports import GatewayTimers, Plan, PlannedAttempt
from b2bua.policy.accounts import EVERY_CODEC
from b2bua.policy.decision import Attempt, Decision
from b2bua.policy.routes import Carrier, Gateway

GATEWAY = Gateway(1, "one", "203.0.113.1", 5060, "udp", 1, 100, None, None, 5.0, 10.0, 60.0, None)
CARRIER = Carrier(1, "CARR0001", "Carrier", "EUR", None, None, None, gateways=[GATEWAY])


def test_decision_is_a_plan() -> None:
    attempt = Attempt(GATEWAY, CARRIER, None, None, "1", "2", EVERY_CODEC)
    timers: GatewayTimers = GATEWAY
    planned: PlannedAttempt = attempt
    plan: Plan = Decision(attempts=[attempt], max_duration=7200)
    assert planned.gateway is timers
    call = Call(plan, frozenset(), offer_in_invite=True)
    call.handle(Invited())
    assert call.state == State.ADMITTING
