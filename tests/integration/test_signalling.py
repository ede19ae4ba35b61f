"""Calls through the whole switch by our own user agents: who hangs up, what fails over, what leaks."""

import asyncio
import signal
import socket
import time

import pytest

from b2bua.agent.user_agent import Caller
from b2bua.sip.digest import Challenge
from b2bua.sip.message import Request
from b2bua.transport.endpoint import new_token
from tests.support.calls import (
    SOURCE,
    agents,
    answers,
    are_up,
    carrier_on,
    dial,
    exchange,
    hang_up,
    received,
    until,
    within,
)
from tests.support.servers import Run
from tests.support.switch import NUMBER, Switch, switch_directory, wait_until


class TestIndependentLegs:
    def test_callee_hears_nothing_of_the_callers_network_when_called(self, switch: Switch, run: Run) -> None:
        caller, carrier = Caller(), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await hang_up(caller, carrier)

        run(call())
        mine = [m.data.decode() for m in caller.trace.messages if m.is_sent]
        theirs = [m.data.decode() for m in carrier.trace.messages if not m.is_sent]
        assert [text.split(" ")[0] for text in theirs if not text.startswith("SIP/2.0")] == ["INVITE", "ACK", "BYE"]
        secrets = {str(caller.port), *_identifiers(mine[0])}
        for text in theirs:
            head = text.partition("\r\n\r\n")[0]
            assert not [secret for secret in secrets if secret in head], head
        # And the other way round: the caller sees one Via, its own, and no tag of the carrier's.
        seen = [m.data.decode() for m in caller.trace.messages if not m.is_sent]
        hidden = {str(switch.carrier_ports[0]), *_identifiers(theirs[0])}
        for text in seen:
            assert not [secret for secret in hidden if secret in text.partition("\r\n\r\n")[0]], text

    def test_caller_rings_once_and_is_answered_when_the_carrier_answers(self, switch: Switch, run: Run) -> None:
        caller, carrier = Caller(), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await hang_up(carrier, caller)

        run(call())
        assert answers(caller) == [180, 200]
        (record,) = switch.wait_for_records(1)
        assert (record["code"], record["ended_by"], record["sip_code"]) == ("ANSWERED", "callee", 200)
        assert (record["codec_used"], record["codecs_offered"]) == ("PCMA", ["PCMA", "PCMU"])
        assert switch.session_counters() == []

    def test_max_forwards_falls_by_one_when_the_call_passes(self, switch: Switch, run: Run) -> None:
        caller, carrier = Caller(), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await hang_up(caller, carrier)

        run(call())
        assert carrier.invites[0].headers.first("max-forwards") == "69"
        body = carrier.invites[0].body.decode()
        assert "c=IN IP4 127.0.0.1" in body
        assert "o=- 1 1 IN" not in body  # bypassed media, but our origin


def _identifiers(message: str) -> set[str]:
    head = message.partition("\r\n\r\n")[0]
    values = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
    return {
        values["call-id"],
        values["from"].rpartition("tag=")[2],
        values["via"].rpartition("branch=")[2],
    }


class TestFailover:
    def test_second_gateway_is_called_when_the_first_answers_503(self, switch: Switch, run: Run) -> None:
        caller = Caller()
        first, second = carrier_on(switch, 0, refuse=503), carrier_on(switch, 1)

        async def call() -> None:
            async with agents(caller, first, second):
                dial(caller, switch)
                await hang_up(caller, second)

        run(call())
        assert answers(caller)[-2:] == [200, 200]  # of the INVITE and of the BYE
        records = switch.wait_for_records(2)
        assert [(r["attempt"], r["is_last"], r["code"], r["sip_code"]) for r in records] == [
            (1, False, "CARRIER_FAILURE", 503),
            (2, True, "ANSWERED", 200),
        ]
        assert switch.session_counters() == []

    def test_second_gateway_is_called_when_the_first_is_silent(self, switch: Switch, run: Run) -> None:
        caller, second = Caller(), carrier_on(switch, 1)
        began = time.monotonic()

        async def call() -> None:
            async with agents(caller, second):
                dial(caller, switch)
                await hang_up(caller, second)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", switch.carrier_ports[0]))
            run(call())
        assert time.monotonic() - began >= 5.0  # the gateway's invite_timeout
        assert 100 in answers(caller)
        records = switch.wait_for_records(2)
        assert [(r["code"], r["sip_code"], r["q850_cause"]) for r in records] == [
            ("NO_RESPONSE", 504, 102),
            ("ANSWERED", 200, 16),
        ]

    @pytest.mark.parametrize(("status", "heard"), [(486, 486), (603, 603), (600, 600)])
    def test_caller_hears_it_when_the_carrier_says_stop(
        self, switch: Switch, run: Run, status: int, heard: int
    ) -> None:
        caller = Caller()
        first, second = carrier_on(switch, 0, refuse=status), carrier_on(switch, 1)

        async def call() -> None:
            async with agents(caller, first, second):
                dial(caller, switch)
                await within(caller.is_ended)

        run(call())
        assert caller.status == heard
        assert second.invites == []
        (record,) = switch.wait_for_records(1)
        assert (record["sip_code"], record["is_last"]) == (status, True)

    def test_caller_hears_503_when_all_carriers_refuse_us(self, switch: Switch, run: Run) -> None:
        caller = Caller()
        first, second = carrier_on(switch, 0, refuse=403), carrier_on(switch, 1, refuse=403)

        async def call() -> None:
            async with agents(caller, first, second):
                dial(caller, switch)
                await within(caller.is_ended)

        run(call())
        assert caller.status == 503
        assert [record["sip_code"] for record in switch.wait_for_records(2)] == [403, 403]
        assert switch.session_counters() == []


class TestGivingUp:
    def test_carrier_is_cancelled_when_the_caller_gives_up(self, switch: Switch, run: Run) -> None:
        caller, carrier = Caller(), carrier_on(switch, answers=False)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await until(lambda: 180 in answers(caller))
                caller.cancel()
                await within(carrier.is_ended)

        run(call())
        methods = [message.method for message in received(carrier) if isinstance(message, Request)]
        assert methods[:2] == ["INVITE", "CANCEL"]
        (record,) = switch.wait_for_records(1)
        assert (record["code"], record["sip_code"], record["ended_by"]) == ("CANCELLED", 487, "caller")
        wait_until(lambda: not switch.session_counters(), "the sessions to be given back")

    def test_both_sides_hear_bye_when_the_longest_duration_is_reached(self, switch: Switch, run: Run) -> None:
        switch.set_account("DEMO0002", max_duration="2")
        caller, carrier = Caller(), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await within(caller.is_ended)
                await within(carrier.is_ended)

        try:
            run(call())
        finally:
            switch.set_account("DEMO0002", max_duration="none")
        (record,) = switch.wait_for_records(1)
        assert (record["ended_by"], record["reason"]) == ("system", "MAX_DURATION")
        assert record["duration"] == 2
        byes = [m for m in received(caller) if isinstance(m, Request) and m.method == "BYE"]
        assert "MAX_DURATION" in byes[0].headers.first("reason")

    def test_both_sides_hear_bye_when_an_operator_hangs_up(self, switch: Switch, run: Run) -> None:
        caller, carrier = Caller(), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await within(caller.is_answered)
                listed = await asyncio.to_thread(switch.command, "call", "list", "--format", "csv")
                call_id = listed.splitlines()[1].split(",")[0]
                await asyncio.to_thread(switch.command, "call", "hangup", call_id)
                await within(caller.is_ended)
                await within(carrier.is_ended)

        run(call())
        (record,) = switch.wait_for_records(1)
        assert record["reason"] == "HANGUP_BY_OPERATOR"


class TestStreams:
    def test_call_passes_when_the_caller_speaks_tcp(self, switch: Switch, run: Run) -> None:
        caller, carrier = Caller(transport="tcp", port=0), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch, transport="tcp")
                await hang_up(carrier, caller)

        run(call())
        (record,) = switch.wait_for_records(1)
        assert (record["code"], record["ended_by"]) == ("ANSWERED", "callee")


class TestLimits:
    def test_ten_calls_pass_when_a_hundred_come_at_ten_a_second(self, switch: Switch, run: Run) -> None:
        switch.set_account("DEMO0002", cps="10")
        carrier = carrier_on(switch)

        async def burst() -> list[int]:
            callers = [Caller() for _ in range(100)]
            async with agents(carrier, *callers):
                for caller in callers:
                    dial(caller, switch)
                await until(lambda: all(caller.status for caller in callers))
                statuses = [caller.status for caller in callers]
                for caller in callers:
                    if caller.status == 200:
                        caller.hang_up()
                await until(lambda: switch.ask("ping")["calls"] == 0)
                return statuses

        try:
            statuses = run(burst())
        finally:
            switch.set_account("DEMO0002", cps="none")
        # While the burst lasts the bucket gains a token each tenth of a second.
        assert 10 <= statuses.count(200) <= 13
        assert statuses.count(503) == 100 - statuses.count(200)
        wait_until(lambda: switch.recorded_calls() == 100, "records of 100 calls")
        refused = [r for r in switch.records() if r["code"] == "CPS_LIMIT"]
        assert {(r["object"], r["q850_cause"]) for r in refused} == {("account DEMO0002", 42)}

    def test_next_call_is_refused_within_a_second_when_an_account_is_suspended(self, switch: Switch, run: Run) -> None:
        switch.query("UPDATE account SET status = 'suspended' WHERE code = 'DEMO0001'")
        changed_at = time.monotonic()
        try:
            switch.wait_for_configuration()
            assert time.monotonic() - changed_at < 1.0
            caller = Caller()

            async def call() -> None:
                async with agents(caller):
                    dial(caller, switch)
                    await within(caller.is_ended)

            run(call())
            assert caller.status == 403
            (record,) = switch.wait_for_records(1)
            assert (record["code"], record["object"]) == ("ACCOUNT_INACTIVE", "reseller DEMO0001")
        finally:
            switch.query("UPDATE account SET status = 'active' WHERE code = 'DEMO0001'")
            switch.wait_for_configuration()


REQUEST = (
    "{method} sip:{user}@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{{port}};rport;branch=z9hG4bK{token}\r\n"
    "From: <sip:{source}@127.0.0.1>;tag={token}\r\nTo: <sip:{user}@127.0.0.1>{to_tag}\r\nCall-ID: {token}\r\n"
    "CSeq: {cseq} {method}\r\nContact: <sip:{source}@127.0.0.1:{{port}}>\r\nMax-Forwards: {hops}\r\n{extra}"
    "Content-Length: 0\r\n\r\n"
)


def request(
    method: str, *, to_tag: str = "", hops: int = 70, extra: str = "", user: str = NUMBER, **more: object
) -> str:
    values = {"token": new_token(), "source": SOURCE, "cseq": 1, **more}
    return REQUEST.format(method=method, to_tag=to_tag, hops=hops, extra=extra, user=user, **values)


class TestRefusedRequests:
    def test_options_are_answered_when_asked(self, switch: Switch, run: Run) -> None:
        response = run(exchange(switch, request("OPTIONS")))
        assert response.status == 200
        assert "INVITE" in response.headers.first("allow")

    def test_method_is_refused_with_405_when_unknown(self, switch: Switch, run: Run) -> None:
        response = run(exchange(switch, request("PUBLISH")))
        assert (response.status, bool(response.headers.first("allow"))) == (405, True)

    def test_bye_is_refused_with_481_when_no_dialog_has_its_tags(self, switch: Switch, run: Run) -> None:
        assert run(exchange(switch, request("BYE", to_tag=";tag=unknown", cseq=2))).status == 481

    def test_cancel_is_refused_with_481_when_nothing_matches(self, switch: Switch, run: Run) -> None:
        assert run(exchange(switch, request("CANCEL"))).status == 481

    def test_extension_is_refused_with_420_when_required(self, switch: Switch, run: Run) -> None:
        response = run(exchange(switch, request("INVITE", extra="Require: precondition\r\n")))
        assert (response.status, response.headers.first("unsupported")) == (420, "precondition")

    def test_request_is_refused_with_400_when_its_cseq_names_another_method(self, switch: Switch, run: Run) -> None:
        text = request("OPTIONS").replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE")
        assert run(exchange(switch, text)).status == 400

    def test_call_is_refused_with_483_when_its_hops_are_used_up(self, switch: Switch, run: Run) -> None:
        assert run(exchange(switch, request("INVITE", hops=0))).status == 483
        (record,) = switch.wait_for_records(1)
        assert (record["code"], record["object"]) == ("LOOP", "Max-Forwards")

    def test_call_is_refused_when_no_rate_knows_the_number(self, switch: Switch, run: Run) -> None:
        response = run(exchange(switch, request("INVITE", user="999")))
        assert (response.status, "cause=34" in response.headers.first("reason")) == (503, True)
        (record,) = switch.wait_for_records(1)
        assert (record["code"], record["object"]) == ("NO_RATE", "account DEMO0002")


class TestDigest:
    def test_sip_user_is_challenged_and_known_when_it_proves_its_secret(self, switch: Switch, run: Run) -> None:
        switch.query("UPDATE ip_device SET status = 'inactive'")
        switch.query("DELETE FROM ip_device WHERE address = '127.0.0.1/32'")
        # H(A1) of demo1001 : softswitch : secret
        switch.query("UPDATE sip_user SET ha1_md5 = md5('demo1001:softswitch:secret') WHERE username = 'demo1001'")
        switch.wait_for_configuration()
        try:
            # From no address of the demo's gateways, whose calls are for our DIDs.
            challenged = run(exchange(switch, request("INVITE"), "127.0.0.20"))
            assert challenged.status == 407
            for secret, status in (("wrong", 407), ("secret", 486)):
                challenge = Challenge.parse(challenged.headers.first("proxy-authenticate"))
                uri = f"sip:{NUMBER}@127.0.0.1"
                credentials = challenge.answer("demo1001", secret, "INVITE", uri, "0a4f113b")
                extra = f"Proxy-Authorization: {credentials}\r\n"
                assert run(self._call(switch, extra)) == status, secret
            switch.wait_for_records(1)
            devices = switch.query("SELECT DISTINCT device FROM cdr")
            assert [row["device"].partition(":")[0] for row in devices] == ["user"]
        finally:
            account = switch.query("SELECT id FROM account WHERE code = 'DEMO0002'")[0]["id"]
            switch.query("INSERT INTO ip_device (account_id, address) VALUES ($1, '127.0.0.1/32')", account)
            switch.wait_for_configuration()

    async def _call(self, switch: Switch, extra: str) -> int:
        async with agents(carrier_on(switch, refuse=486)):
            return (await exchange(switch, request("INVITE", extra=extra, cseq=2), "127.0.0.20")).status


class TestStopping:
    def test_calls_are_ended_with_records_when_the_switch_is_told_to_stop(self, run: Run) -> None:
        with switch_directory() as directory:
            switch = Switch(directory)
            switch.start()
            switch.load_demo()
            caller, carrier = Caller(), carrier_on(switch)

            async def call() -> float:
                async with agents(caller, carrier):
                    dial(caller, switch)
                    await are_up(caller, carrier)
                    began = time.monotonic()
                    status = await asyncio.to_thread(switch.stop, signal.SIGINT)
                    assert status == 0
                    await within(caller.is_ended)
                    await within(carrier.is_ended)
                    return time.monotonic() - began

            took = run(call())
            assert took < 5.0
            switch.start()
            (record,) = switch.wait_for_records(1)
            assert (record["code"], record["reason"]) == ("ANSWERED", "DRAINING")
            assert switch.session_counters() == []
            switch.stop()

    def test_one_line_names_the_port_when_it_is_taken(self) -> None:
        with switch_directory() as directory, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            switch = Switch(directory, SOFTSWITCH_SIP__LISTEN=f"udp://127.0.0.1:{port}")
            with pytest.raises(AssertionError):
                switch.start()
            assert switch.process is not None
            assert switch.process.wait(10) == 2
            assert f"cannot listen on udp://127.0.0.1:{port}" in switch.log()
