"""What a SUBSCRIBE asks for, and what a NOTIFY says (RFC 3842, RFC 6665)."""

import pytest

from b2bua.registrar.subscription import (
    BODY_TYPE,
    Mailbox,
    SubscribeRefused,
    Subscription,
    account_of,
    format_summary,
    read_subscribe,
)
from b2bua.sip.errors import ParseError
from b2bua.sip.message import Request
from tests.support import sip


def subscribe(uri: str = "sip:alice@switch.example.com", **headers: str) -> Request:
    """A SUBSCRIBE with these headers; Event is there unless it is given."""
    changed = {"Event": "message-summary", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return sip.parse_request(sip.request("SUBSCRIBE", uri=uri, changed=changed))


def refusal(request: Request) -> tuple[int, dict[str, str]]:
    with pytest.raises(SubscribeRefused) as refused:
        read_subscribe(request)
    return refused.value.status, refused.value.headers


class TestSubscribe:
    """RFC 6665 §4.2.1, RFC 3842 §3."""

    @pytest.mark.parametrize(
        ("expires", "granted"),
        [("", 3600), ("0", 0), ("60", 60), (" 600 ", 600), ("7201", 7200), ("99999999999999999999", 7200)],
    )
    def test_so_long_is_granted(self, expires: str, granted: int) -> None:
        request = subscribe(Expires=expires) if expires else subscribe()
        assert read_subscribe(request).expires == granted

    def test_too_short_an_interval_is_refused_with_the_least(self) -> None:
        for expires in ("1", "59"):
            assert refusal(subscribe(Expires=expires)) == (423, {"min-expires": "60"})

    @pytest.mark.parametrize("event", ["presence", "dialog;id=1", "message-summary.winfo", ""])
    def test_other_event_is_refused_with_ours(self, event: str) -> None:
        assert refusal(subscribe(Event=event)) == (489, {"allow-events": "message-summary"})

    def test_event_without_a_header_is_none(self) -> None:
        request = subscribe()
        del request.headers["event"]
        assert refusal(request)[0] == 489

    def test_event_is_read_whatever_its_case_with_its_id(self) -> None:
        assert read_subscribe(subscribe(Event="Message-Summary")).event_id == ""
        assert read_subscribe(subscribe(Event="message-summary ;x=1; ID = a7")).event_id == "a7"
        for value in ("id=", "id", f"id={'x' * 65}", "id=a b"):
            assert refusal(subscribe(Event=f"message-summary;{value}")) == (400, {})

    @pytest.mark.parametrize("accept", [BODY_TYPE, "text/plain, Application/Simple-Message-Summary;q=0.5", "*/*"])
    def test_body_is_one_that_the_telephone_takes(self, accept: str) -> None:
        assert read_subscribe(subscribe(Accept=accept)).expires == 3600

    def test_body_that_we_do_not_have_is_refused(self) -> None:
        assert refusal(subscribe(Accept="application/pidf+xml")) == (406, {"accept": BODY_TYPE})

    def test_extension_that_we_do_not_have_is_refused(self) -> None:
        assert refusal(subscribe(Require="eventlist")) == (420, {"unsupported": "eventlist"})

    @pytest.mark.parametrize("headers", [{"Expires": "soon"}, {"Expires": "-1"}, {"Event": 'message-summary;x="'}])
    def test_malformed_request_is_refused(self, headers: dict[str, str]) -> None:
        assert refusal(subscribe(**headers)) == (400, {})


class TestNotify:
    """RFC 3842 §5.2, RFC 6665 §4.1.3."""

    def test_summary_says_whether_new_messages_wait(self) -> None:
        account = "sip:alice@switch.example.com"
        assert format_summary(Mailbox(2, 8), account) == (
            b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@switch.example.com\r\nVoice-Message: 2/8 (0/0)\r\n"
        )
        assert format_summary(Mailbox(0, 8), account).startswith(b"Messages-Waiting: no\r\n")

    def test_account_is_the_user_at_the_host_that_was_asked(self) -> None:
        assert account_of(subscribe("sips:alice@[2001:db8::1]:5061;x=1"), "alice") == "sips:alice@[2001:db8::1]"
        request = subscribe()
        request.uri = "nonsense"
        with pytest.raises(ParseError):
            account_of(request, "alice")

    def test_state_counts_down_and_the_event_has_its_id(self) -> None:
        subscription = Subscription(9, "sip:alice@h", "", 1600.0)
        assert subscription.event == "message-summary"
        assert subscription.state(1000.4) == "active;expires=600"
        assert subscription.state(2000.0) == "active;expires=0"
        subscription.event_id = "7"
        assert subscription.event == "message-summary;id=7"
