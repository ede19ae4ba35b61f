"""Messages of the control protocol in both forms, and their options."""

import pytest

from media import ng
from media.ng import Form, MalformedMessage, Options, Source, pack, unpack

SDP = b"v=0\r\ns=caf\xe9\r\n"
EVERYTHING = Options(
    direction=("pub", "priv"),
    address_family="IP6",
    media_address="192.0.2.1",
    received_from="198.51.100.7",
    source=Source.STRICT,
    rtcp_mux=("demux",),
    transport_protocol="RTP/AVP",
    codec_strip=("G729",),
    codec_offer=("PCMA", "PCMU"),
    codec_mask=("opus",),
    codec_except=("G722",),
    reorder=True,
)


def sent(message: ng.Message, form: Form = Form.BENCODE) -> ng.Message:
    """A message as the other side reads it."""
    return unpack(pack(b"1_2", message, form))[1]


class TestMessages:
    def test_ping_is_written_as_documented(self) -> None:
        assert pack(b"5323_1", ng.ping()) == b"5323_1 d7:command4:pinge"
        assert pack(b"5323_1", ng.ping(), Form.JSON) == b'5323_1 {"command":"ping"}'

    @pytest.mark.parametrize("form", Form)
    def test_message_comes_back_with_cookie_and_form(self, form: Form) -> None:
        message = {"command": "list", "limit": 7}
        assert unpack(pack(b"c", message, form)) == (b"c", message, form)

    def test_description_in_another_character_set_survives(self) -> None:
        sdp = sent(ng.offer("id", "a", SDP, Options()))["sdp"]
        assert sdp.encode("utf-8", "surrogateescape") == SDP

    @pytest.mark.parametrize("datagram", [b"", b"cookie", b" d7:command4:pinge", b"c x", b"c l1:ae", b"c [1]", b"c {"])
    def test_anything_else_is_malformed(self, datagram: bytes) -> None:
        with pytest.raises(MalformedMessage):
            unpack(datagram)

    def test_malformed_dictionary_keeps_its_cookie(self) -> None:
        with pytest.raises(MalformedMessage) as caught:
            unpack(b"cookie d1:a")
        assert caught.value.cookie == b"cookie"

    def test_answer_names_both_tags(self) -> None:
        message = sent(ng.answer("id", "a", "b", SDP, Options()))
        assert (message["command"], message["from-tag"], message["to-tag"]) == ("answer", "a", "b")

    def test_deletion_is_at_once(self) -> None:
        assert ng.delete("id") == {"command": "delete", "call-id": "id", "delete delay": 0}
        assert ng.delete("id", "a", "b")["to-tag"] == "b"

    def test_error_tells_a_status_where_there_is_one(self) -> None:
        assert ng.error("no") == {"result": "error", "error-reason": "no"}
        assert ng.error("no", 488)["sip-status"] == 488


class TestOptions:
    @pytest.mark.parametrize("form", Form)
    def test_options_arrive_as_they_were_sent(self, form: Form) -> None:
        message = sent(ng.offer("id", "a", b"v=0\r\n", EVERYTHING), form)
        read = Options.from_message(message)
        read.flags = ()
        assert read == EVERYTHING

    def test_ordinary_offer_removes_ice_and_replaces_addresses(self) -> None:
        message = Options().to_message()
        assert message["ICE"] == "remove"
        assert message["replace"] == ["origin", "session-connection"]

    @pytest.mark.parametrize("source", [*Source, None])
    def test_source_is_told_by_flags_of_rtpengine(self, source: Source | None) -> None:
        assert Options.from_message(sent(Options(source=source).to_message())).source == source

    def test_spaces_and_hyphens_mean_the_same(self) -> None:
        message = {"media-address": "192.0.2.1", "replace": ["session connection"], "flags": ["reorder-codecs"]}
        options = Options.from_message(message)
        assert (options.media_address, options.replace, options.reorder) == ("192.0.2.1", ("session-connection",), True)

    def test_codecs_are_read_from_flags_too(self) -> None:
        assert Options.from_message({"flags": ["codec-strip-G729", "codec-mask-all"]}).codec_strip == ("G729",)

    @pytest.mark.parametrize(
        "message", [{"flags": {}}, {"ICE": 3}, {"media address": "host"}, {"direction": [1]}, {"codec": "PCMA"}]
    )
    def test_value_of_the_wrong_kind_is_malformed(self, message: ng.Message) -> None:
        with pytest.raises(MalformedMessage):
            Options.from_message(message)
