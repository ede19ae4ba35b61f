"""What a REGISTER makes of a SIP user's bindings (RFC 3261 §10, RFC 3327)."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.registrar.bindings import (
    CONTACTS_LIMIT,
    Binding,
    Result,
    apply,
    bindings_key,
    by_preference,
    decode,
    encode,
    format_contacts,
    read_registration,
    source_of,
    user_of_key,
)
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request
from tests.support.registrations import CONTACT, NOW, PHONE, WORKER, make_binding, register, registration
from tests.support.sip import wire_text


def contacts(bindings: list[Binding] | Result) -> list[str]:
    bindings = bindings.bindings if isinstance(bindings, Result) else bindings
    return [binding.contact for binding in bindings]


def lasting(result: Result) -> list[float]:
    return [binding.expires_at - NOW for binding in result.bindings]


def ask(
    *values: str,
    existing: list[Binding] | None = None,
    now: float = NOW,
    call_id: str = "reg-1",
    cseq: int = 1,
    expires: str | None = None,
) -> Result:
    headers = {} if expires is None else {"Expires": expires}
    return apply(registration(*values, call_id=call_id, cseq=cseq, **headers), existing or [], now)


class TestAddition:
    """§10.2.1, §10.3 step 7."""

    def test_binding_has_all_that_is_known_of_the_user_agent(self) -> None:
        request = register(f"<{CONTACT}>;q=0.5", call_id="r-9", cseq=7, User_Agent="Phone/1.0")
        asked = read_registration(request, Flow("tcp", PHONE, 5062, 1, 42), "192.0.2.77", WORKER)
        result = apply(asked, [], NOW)
        assert (result.status, result.is_changed) == (200, True)
        assert result.bindings == [
            make_binding(
                call_id="r-9",
                cseq=7,
                q=0.5,
                transport="tcp",
                listener=1,
                connection=42,
                source="192.0.2.77",
                user_agent="Phone/1.0",
            )
        ]

    def test_several_contacts_are_bound_at_once(self) -> None:
        result = ask("<sip:alice@h1>;expires=100", '"desk, left" <sip:alice@h2;transport=tcp>;q=0.3', "sip:alice@h3")
        assert contacts(result) == ["sip:alice@h1", "sip:alice@h2;transport=tcp", "sip:alice@h3"]
        assert lasting(result) == [100, 3600, 3600]

    def test_nothing_changes_when_nothing_is_asked_for(self) -> None:
        # §10.2.3: the answer says what there is.
        result = ask(existing=[make_binding()])
        assert (result.status, result.is_changed, contacts(result)) == (200, False, [CONTACT])

    def test_contacts_are_refused_when_they_are_too_many(self) -> None:
        existing = [make_binding(contact=f"sip:alice@h{number}") for number in range(CONTACTS_LIMIT - 1)]
        assert ask("<sip:alice@a>", existing=existing).status == 200
        result = ask("<sip:alice@a>", "<sip:alice@b>", existing=existing)
        assert (result.status, result.is_changed) == (403, False)
        assert result.bindings == existing
        assert ask(*(f"<sip:alice@{number}>;expires=0" for number in range(CONTACTS_LIMIT + 1))).status == 403

    def test_contact_takes_the_place_of_an_expired_one(self) -> None:
        existing = [make_binding(contact=f"sip:alice@h{number}", expires_at=NOW) for number in range(CONTACTS_LIMIT)]
        assert contacts(ask("<sip:alice@a>", existing=existing)) == ["sip:alice@a"]

    def test_last_one_counts_when_a_contact_is_named_twice(self) -> None:
        result = ask("<sip:alice@h>;q=0.1", "<sip:alice@H>;q=0.9")
        assert [binding.q for binding in result.bindings] == [0.9]
        assert ask("<sip:alice@h>", "<sip:alice@h>;expires=0").bindings == []


class TestExpiry:
    """§10.2.1.1, §10.3 step 7, §20.10."""

    @pytest.mark.parametrize(
        ("contact", "header", "seconds"),
        [
            ("<sip:a@h>", None, 3600),
            ("<sip:a@h>", "600", 600),
            ("<sip:a@h>;expires=120", "600", 120),
            ("<sip:a@h>;expires=60", None, 60),
            ("<sip:a@h>;expires=7201", None, 7200),
            ("<sip:a@h>;expires=4294967296", None, 7200),
            ("<sip:a@h>;expires=99999999999999999999", None, 7200),
            ("<sip:a@h>;expires=soon", "600", 3600),
            ("<sip:a@h>;expires", "600", 3600),
            ("<sip:a@h>", "later", 3600),
            ("<sip:a@h>", "٣٠٠", 3600),
        ],
    )
    def test_parameter_counts_before_the_header_and_both_before_the_default(
        self, contact: str, header: str | None, seconds: int
    ) -> None:
        assert lasting(ask(contact, expires=header)) == [seconds]

    @pytest.mark.parametrize("seconds", [1, 59])
    def test_registration_is_refused_when_one_contact_expires_too_soon(self, seconds: int) -> None:
        result = ask("<sip:a@h1>", f"<sip:a@h2>;expires={seconds}", existing=[make_binding()])
        assert (result.status, result.is_changed, contacts(result)) == (423, False, [CONTACT])

    def test_expired_bindings_are_gone(self) -> None:
        existing = [make_binding(), make_binding(contact="sip:old@h", expires_at=NOW)]
        assert contacts(ask(existing=existing)) == [CONTACT]


class TestRefresh:
    """§10.2.4, §10.3 step 7: the same URI by §19.1.4."""

    @pytest.mark.parametrize("contact", [CONTACT, f"sip:%61lice@{PHONE}:5062", f"{CONTACT};ob"])
    def test_binding_is_replaced_when_the_uri_is_the_same(self, contact: str) -> None:
        result = ask(f"<{contact}>;expires=600", existing=[make_binding()], cseq=2, now=NOW + 1000)
        assert contacts(result) == [contact]
        assert (result.bindings[0].cseq, result.bindings[0].registered_at) == (2, NOW + 1000)
        assert lasting(result) == [1600]

    @pytest.mark.parametrize("contact", [f"sip:ALICE@{PHONE}:5062", f"{CONTACT};transport=udp", f"sip:alice@{PHONE}"])
    def test_binding_stays_when_the_uri_is_another(self, contact: str) -> None:
        assert contacts(ask(f"<{contact}>", existing=[make_binding()], cseq=2)) == [CONTACT, contact]

    def test_other_contacts_stay(self) -> None:
        existing = [make_binding(contact="sip:alice@other"), make_binding()]
        assert contacts(ask(f"<{CONTACT}>", existing=existing, cseq=2)) == ["sip:alice@other", CONTACT]


class TestOrder:
    """§10.3 step 7: Call-ID and CSeq tell a late REGISTER from a new one."""

    @pytest.mark.parametrize("cseq", [4, 5])
    @pytest.mark.parametrize(
        ("values", "expires"),
        [
            (["<sip:alice@new>", f"<{CONTACT}>"], None),
            (["<sip:alice@new>", f"<{CONTACT}>;expires=0"], None),
            (["*"], "0"),
        ],
    )
    def test_nothing_changes_when_a_newer_one_has_been_handled(
        self, cseq: int, values: list[str], expires: str | None
    ) -> None:
        existing = [make_binding(cseq=5), make_binding(contact="sip:alice@other", call_id="reg-2")]
        result = ask(*values, existing=existing, cseq=cseq, expires=expires)
        assert (result.status, result.is_changed) == (500, False)
        assert result.bindings == existing

    def test_number_does_not_matter_when_the_call_id_is_another(self) -> None:
        result = ask(f"<{CONTACT}>", existing=[make_binding(cseq=5)], call_id="reg-2", cseq=1)
        assert [(each.call_id, each.cseq) for each in result.bindings] == [("reg-2", 1)]

    def test_other_contacts_of_the_call_id_do_not_hinder(self) -> None:
        assert ask("<sip:alice@new>", existing=[make_binding(cseq=5)], cseq=5).status == 200


class TestRemoval:
    """§10.2.2."""

    def test_contact_is_removed_when_it_expires_at_once(self) -> None:
        existing = [make_binding(), make_binding(contact="sip:alice@other")]
        assert contacts(ask(f"<{CONTACT}>;expires=0", existing=existing, cseq=2)) == ["sip:alice@other"]
        assert contacts(ask(f"<{CONTACT}>", existing=existing, cseq=2, expires="0")) == ["sip:alice@other"]

    def test_nothing_is_wrong_when_the_contact_is_not_there(self) -> None:
        assert ask("<sip:alice@gone>;expires=0").status == 200

    def test_one_contact_is_removed_and_another_added_at_once(self) -> None:
        result = ask(f"<{CONTACT}>;expires=0", "<sip:alice@new>", existing=[make_binding()], cseq=2)
        assert contacts(result) == ["sip:alice@new"]

    def test_everything_is_removed_by_a_wildcard(self) -> None:
        existing = [make_binding(), make_binding(contact="sip:alice@other", call_id="reg-2", cseq=9)]
        result = ask("*", existing=existing, cseq=2, expires="0")
        assert (result.status, result.is_changed, result.bindings) == (200, True, [])

    @pytest.mark.parametrize(
        ("values", "headers"),
        [
            (["*"], {}),
            (["*"], {"Expires": "60"}),
            (["*"], {"Expires": "x"}),
            (["*", "<sip:alice@h>"], {"Expires": "0"}),
            (["*", "*"], {"Expires": "0"}),
        ],
    )
    def test_wildcard_is_refused_when_it_is_not_alone_or_does_not_expire_at_once(
        self, values: list[str], headers: dict[str, str]
    ) -> None:
        with pytest.raises(ParseError):
            registration(*values, **headers)


class TestContactHeader:
    """§20.10, §25.1."""

    @pytest.mark.parametrize("q", ["0", "1", "0.5", "0.123", "1.000", "0."])
    def test_preference_is_read(self, q: str) -> None:
        assert ask(f"<sip:a@h>;q={q}").bindings[0].q == float(q)

    @pytest.mark.parametrize("q", ["", "2", "1.001", "0.1234", "-1", ".5", "x", "1e-2", "0.٣"])
    def test_contact_is_refused_when_its_preference_is_none(self, q: str) -> None:
        with pytest.raises(ParseError):
            registration(f"<sip:a@h>;q={q}")

    @pytest.mark.parametrize(
        "contact",
        ["<tel:+442079460000>", "<mailto:a@h>", "<sip:a@h", "<sip:@h>", f"<sip:{'a' * 600}@h>", "<sip:a@h>;=1"],
    )
    def test_contact_is_refused_when_it_is_malformed_too_long_or_no_place_for_sip(self, contact: str) -> None:
        with pytest.raises(ParseError):
            registration(contact)

    def test_contact_is_refused_when_it_is_not_utf_8(self) -> None:
        with pytest.raises(ParseError):
            registration("<sip:a\udcff@h>")

    def test_answer_names_every_binding_and_what_it_has_left(self) -> None:
        bindings = [make_binding(), make_binding(contact="sip:a@h;x=1", q=0.25, expires_at=NOW + 59.6)]
        assert format_contacts(bindings, NOW) == f"<{CONTACT}>;expires=3600, <sip:a@h;x=1>;q=0.25;expires=60"
        assert format_contacts([make_binding(expires_at=NOW + 0.1)], NOW).endswith(";expires=1")

    def test_comma_lists_and_several_headers_are_the_same(self) -> None:
        request = register("<sip:a@h1>, <sip:a@h2>")
        request.headers.add("contact", "<sip:a@h3>")
        asked = read_registration(request, Flow("udp", PHONE, 5062), PHONE, WORKER)
        assert [contact.text for contact in asked.contacts] == ["sip:a@h1", "sip:a@h2", "sip:a@h3"]

    @settings(deadline=None)
    @given(wire_text, wire_text, wire_text)
    def test_only_parse_errors_are_raised_when_the_headers_are_anything(self, contact: str, path: str, q: str) -> None:
        request = register(f"<{CONTACT}>")
        request.headers.add("contact", f"<sip:a@h>;q={q}")
        request.headers.add("contact", contact)
        request.headers.add("path", path)
        request.headers.add("user-agent", path)
        for wanted in (["contact", "path", "user-agent"], ["path", "user-agent"], ["user-agent"]):
            for name in {"contact", "path"} - set(wanted):
                request.headers.pop(name, None)
            self.apply_and_store(request)

    def apply_and_store(self, request: Request) -> None:
        with contextlib.suppress(ParseError):
            result = apply(read_registration(request, Flow("udp", PHONE, 5062), PHONE, WORKER), [], NOW)
            assert decode(encode(result.bindings)) == result.bindings


class TestPath:
    """RFC 3327 §5.3."""

    def test_route_is_kept_in_its_order(self) -> None:
        request = register(f"<{CONTACT}>", Path="<sip:p1@proxy1;lr>, <sip:proxy2;lr>")
        request.headers.add("path", "<sip:proxy3;lr>;x=1")
        asked = read_registration(request, Flow("udp", PHONE, 5062), PHONE, WORKER)
        wanted = ("<sip:p1@proxy1;lr>", "<sip:proxy2;lr>", "<sip:proxy3;lr>;x=1")
        assert apply(asked, [], NOW).bindings[0].path == wanted

    @pytest.mark.parametrize("path", ["<sip:proxy>", "nonsense", f"<sip:{'p' * 2100};lr>", "<sip:\udcff@h;lr>"])
    def test_route_is_refused_when_it_is_strict_malformed_or_too_long(self, path: str) -> None:
        request = register(f"<{CONTACT}>")
        request.headers["path"] = [path]
        with pytest.raises(ParseError):
            read_registration(request, Flow("udp", PHONE, 5062), PHONE, WORKER)


class TestBinding:
    def test_preferred_and_then_newest_come_first(self) -> None:
        low = make_binding(contact="sip:low@h", q=0.1, registered_at=NOW + 9)
        old = make_binding(contact="sip:old@h", registered_at=NOW - 1)
        new = make_binding(contact="sip:new@h")
        assert by_preference([low, old, new]) == [new, old, low]

    def test_request_uri_has_neither_headers_nor_method(self) -> None:
        assert make_binding(contact="sip:a@h;method=INVITE;ob?Replaces=x").request_uri == "sip:a@h;ob"

    def test_way_back_is_known_to_the_run_of_the_worker_that_it_came_to(self) -> None:
        binding = make_binding(transport="tcp", connection=7, listener=1)
        flow = binding.flow(WORKER)
        assert flow is not None
        assert (flow.transport, flow.host, flow.port, flow.listener, flow.connection) == ("tcp", PHONE, 5062, 1, 7)
        assert binding.flow("sip-1:b") is None
        assert binding.worker_name == "sip-1"

    def test_port_is_not_known_when_a_proxy_is_between(self) -> None:
        assert make_binding().received == (PHONE, 5062)
        assert source_of(make_binding()) == f"{PHONE}:5062"
        behind = make_binding(source="192.0.2.77")
        assert behind.received == ("192.0.2.77", 0)
        assert source_of(behind) == "192.0.2.77"


class TestStoring:
    def test_bindings_come_back(self) -> None:
        bindings = [make_binding(path=("<sip:p;lr>",), q=0.5, user_agent="Phöne"), make_binding(contact="sip:b@h")]
        assert decode(encode(bindings)) == bindings

    def test_text_of_the_peer_can_be_stored_when_it_is_not_utf_8_or_long(self) -> None:
        request = register(f"<{CONTACT}>", User_Agent="x" * 1000)
        request.call_id = "c\udcff"
        asked = read_registration(request, Flow("udp", PHONE, 5062), PHONE, WORKER)
        (binding,) = apply(asked, [], NOW).bindings
        assert (binding.call_id, len(binding.user_agent)) == ("c\\xff", 255)
        assert decode(encode([binding])) == [binding]

    def test_fields_of_a_later_version_are_left_out(self) -> None:
        data = encode([make_binding()]).replace(b'{"contact"', b'{"instance":"x","contact"')
        assert decode(data) == [make_binding()]

    @pytest.mark.parametrize("data", [b"", b"x", b"1", b"[1]", b"{}x", b'[{"contact":"sip:a@h"}]', b"null"])
    def test_value_is_refused_when_it_is_something_else(self, data: bytes) -> None:
        with pytest.raises(ValueError, match="cannot be read"):
            decode(data)

    def test_value_is_refused_when_its_contact_is_none(self) -> None:
        with pytest.raises(ValueError, match="cannot be read"):
            decode(encode([make_binding(contact="x")]))

    def test_key_names_the_user(self) -> None:
        assert bindings_key(9) == "bindings:{u:9}"
        assert [user_of_key(key) for key in (bindings_key(9), "bindings:{u:x}", "bindings:", "x")] == [9, 0, 0, 0]


_hosts = st.sampled_from(["h1", "h2", "h3"])
_values = st.lists(
    st.tuples(_hosts, st.sampled_from([0, 30, 60, 600, 9000])).map(lambda pair: f"<sip:a@{pair[0]}>;expires={pair[1]}"),
    max_size=3,
)
_request = st.tuples(_values, st.sampled_from(["c1", "c2"]), st.integers(1, 4), st.floats(0, 1000))


@given(st.lists(_request, max_size=12))
def test_bindings_stay_sound_when_requests_come_in_any_order(requests: list[tuple[list[str], str, int, float]]) -> None:
    bindings: list[Binding] = []
    now = NOW
    for values, call_id, cseq, later in requests:
        now += later
        result = apply(registration(*values, call_id=call_id, cseq=cseq), bindings, now)
        if result.status != 200:
            assert not result.is_changed
            assert result.bindings == [binding for binding in bindings if binding.expires_at > now]
        bindings = result.bindings
        assert len(set(contacts(bindings))) == len(bindings) <= CONTACTS_LIMIT
        assert all(0 < binding.expires_at - now <= 7200 for binding in bindings)


class TestNAT:
    @pytest.mark.parametrize(
        ("contact", "sent_by", "is_behind"),
        [
            (f"sip:alice@{PHONE}:5062", PHONE, False),
            (f"sip:alice@[::ffff:{PHONE}]:5062", PHONE, False),
            (f"sip:alice@{PHONE}:5062", "phone.example.com", False),
            ("sip:alice@192.168.1.7:5062", "192.168.1.7", True),
            ("sip:alice@198.51.100.8:5062", PHONE, True),
            ("sip:alice@phone.invalid", PHONE, True),
            (f"sip:alice@{PHONE}:5062", "10.0.0.7", True),  # it knows its address outside, and shows it
            (f"sip:alice@{PHONE}", PHONE, True),  # another port
        ],
    )
    def test_telephone_is_behind_one_when_it_names_another_address(
        self, contact: str, sent_by: str, is_behind: bool
    ) -> None:
        asked = registration(f"<{contact}>", Via=f"SIP/2.0/UDP {sent_by}:5062;branch=z9hG4bK1")
        (binding,) = apply(asked, [], NOW).bindings
        assert binding.is_behind_nat is is_behind
        assert decode(encode([binding]))[0].is_behind_nat is is_behind

    def test_port_says_nothing_when_it_came_on_a_connection(self) -> None:
        request = register(f"<sip:alice@{PHONE}:5060>", Via=f"SIP/2.0/TCP {PHONE}:5060;branch=z9hG4bK1")
        asked = read_registration(request, Flow("tcp", PHONE, 40000, 0, 3), PHONE, WORKER)
        assert not apply(asked, [], NOW).bindings[0].is_behind_nat

    def test_telephone_behind_a_proxy_is_the_proxys_to_keep(self) -> None:
        request = register("<sip:alice@192.168.1.7>")
        request.headers["via"].append("SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bK1")
        for source in (PHONE, "192.168.1.7"):
            asked = read_registration(request, Flow("udp", PHONE, 5062), source, WORKER)
            assert not apply(asked, [], NOW).bindings[0].is_behind_nat


class TestSeveralPlaces:
    """A REGISTER that names several places at once."""

    def ways(self, *contacts: str) -> list[tuple[str, int, bool]]:
        result = apply(registration(*contacts), [], NOW)
        return [(binding.host, binding.port, binding.is_behind_nat) for binding in result.bindings]

    def test_one_of_them_is_the_sender_and_the_others_are_where_they_say(self) -> None:
        contacts = (f"<{CONTACT}>", f"<sip:alice@{PHONE}:5070>", "<sip:alice@198.51.100.9>")
        assert self.ways(*contacts) == [(PHONE, 5062, False), (PHONE, 5070, False), ("198.51.100.9", 5060, False)]

    def test_one_alone_is_where_it_came_from(self) -> None:
        assert self.ways("<sip:alice@198.51.100.9>") == [(PHONE, 5062, True)]

    def test_names_and_other_transports_are_where_they_came_from(self) -> None:
        contacts = ("<sip:alice@desk.example>", f"<sip:alice@{PHONE}:5062;transport=tcp>")
        assert [way[:2] for way in self.ways(*contacts)] == [(PHONE, 5062)] * 2
