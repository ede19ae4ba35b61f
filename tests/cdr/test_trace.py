"""Messages of a call as they are kept and read."""

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest

from cdr.trace import TracedMessage, find_repeated, make_line, note_left_out, read_messages, to_row

CALL = "00000000-0000-7000-8000-000000000001"


def message(text: str, **changed: object) -> TracedMessage:
    line = {"seconds": 0.0, "leg": "a", "is_sent": False, "peer": "udp:h:5060", "text": text, **changed}
    return TracedMessage(**line)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "title", "status"),
    [
        ("INVITE sip:1@h SIP/2.0\nCSeq: 1 INVITE", "INVITE", None),
        ("SIP/2.0 180 Ringing\nCSeq: 1 INVITE", "180 Ringing", 180),
        ("SIP/2.0 200 OK\nVia: x\ncseq : 2 BYE", "200 OK (BYE)", 200),
        ("SIP/2.0 200 OK", "200 OK", 200),
        ("SIP/2.0 abc", "SIP/2.0", None),
        ("", "", None),
    ],
)
def test_message_has_a_title_and_a_status(text: str, title: str, status: int | None) -> None:
    assert (message(text).title, message(text).status) == (title, status)


def test_headers_end_where_the_body_begins() -> None:
    told = message("INVITE sip:1@h SIP/2.0\nc: application/SDP\n\nCSeq: 1 BYE")
    assert told.is_sound
    assert told.header("cseq") == ""
    assert not message("INVITE sip:1@h SIP/2.0\n\nContent-Type: application/sdp").is_sound


def test_line_is_read_as_it_was_written() -> None:
    lines = [[0.0, "a", False, "udp:h:5060", "INVITE x"], note_left_out(1, 0.5), note_left_out(2, 0.5)]
    line = make_line(CALL, 1_790_000_000.12345, lines)
    call_id, received_at, text = to_row(orjson.loads(orjson.dumps(line)))
    assert (line["kind"], call_id) == ("trace", UUID(CALL))
    assert received_at == datetime(2026, 9, 21, 14, 13, 20, 123000, UTC)
    first, *notes = read_messages(text)
    assert first == message("INVITE x")
    assert [note.title for note in notes] == ["1 message left out", "2 messages left out"]
    assert read_messages(lines) == [first, *notes]


def test_message_that_comes_again_is_told() -> None:
    lines = [message("A"), message("B"), message("A", seconds=1.0), message("A", is_sent=True), message("A", peer="x")]
    notes = [message("2 messages left out", leg=""), message("2 messages left out", leg="")]
    assert find_repeated([*lines, *notes]) == {2}
