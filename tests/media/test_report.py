"""The figures of a call as engines tell them."""

from media.report import CallReport, read_figures

OWN = {
    "tags": {
        "a": {"medias": [{
            "type": "audio",
            "streams": [{"endpoint": {"address": "192.0.2.9", "port": 4000}, "last packet": 1700000000,
                         "flags": ["RTP", "kernelized"], "stats": {"packets": 50, "bytes": 8600, "errors": 2}}],
            "quality": {"lost": 1, "jitter-ms": "2.5", "mos": "4.41"},
        }]},
        "b": {"medias": [{"type": "audio", "streams": [{"stats": {"packets": 0, "bytes": 0, "errors": 0}}]}]},
    }
}  # fmt: skip


def test_figures_of_our_engine_are_read() -> None:
    (medium,) = CallReport.from_message(OWN).sides["a"]
    assert (medium.packets, medium.octets, medium.errors, medium.source) == (50, 8600, 2, "192.0.2.9:4000")
    assert (medium.last_packet_at, medium.in_kernel) == (1700000000, True)
    assert (medium.lost, medium.jitter_ms, medium.mos) == (1, 2.5, 4.41)


def test_what_nobody_measured_is_empty() -> None:
    report = CallReport.from_message(OWN)
    assert report.sides["a"][0].round_trip_ms is None
    silent = report.sides["b"][0]
    assert (silent.lost, silent.jitter_ms, silent.mos, silent.last_packet_at, silent.source) == (*[None] * 4, "")


def test_audio_of_one_side_only_is_flagged() -> None:
    report = CallReport.from_message(OWN)
    assert (report.silent, report.is_one_way) == (["b"], True)
    both_silent = CallReport.from_message({"tags": {"a": OWN["tags"]["b"], "b": OWN["tags"]["b"]}})
    assert (both_silent.silent, both_silent.is_one_way) == (["a", "b"], False)


def test_figures_of_rtpengine_are_found_by_ssrc() -> None:
    message = {
        "tags": {"a": {"medias": [{"type": "audio", "streams": [{"SSRC": 77, "stats": {"packets": 1}}]}]}},
        "SSRC": {"77": {"cumulative loss": 3, "average MOS": {"MOS": 43, "jitter": 4, "round-trip time": 20_000}}},
    }
    (medium,) = CallReport.from_message(message).sides["a"]
    assert (medium.lost, medium.mos, medium.jitter_ms, medium.round_trip_ms) == (3, 4.3, 4.0, 20.0)


def test_malformed_answer_gives_what_it_can() -> None:
    assert CallReport.from_message(
        {"tags": {"a": 3, "b": {"medias": [7, {"streams": 1}]}}, "SSRC": []}
    ).sides.keys() == {
        "a",
        "b",
    }
    assert CallReport.from_message({}).sides == {}


def test_verdict_is_the_engines_own_or_what_never_came() -> None:
    told = CallReport.from_message({**OWN, "audio": "", "audio seen": ""})
    assert (told.audio, told.verdict(60, 10)) == ("", "")
    assert CallReport.from_message({**OWN, "audio seen": "silent"}).verdict(1, 10) == "silent"
    assert CallReport.from_message({**OWN, "audio seen": "odd"}).verdict(60, 10) == ""
    # An engine that says nothing of it: the whole call counts, if it was long enough to tell.
    report = CallReport.from_message(OWN)
    assert (report.verdict(60, 10), report.verdict(5, 10)) == ("one-way", "")
    both = CallReport.from_message({"tags": {"a": OWN["tags"]["b"], "b": OWN["tags"]["b"]}})
    assert both.verdict(60, 10) == "silent"


def test_figures_of_an_engine_have_one_name_whoever_tells_them() -> None:
    own = read_figures({"calls": 2, "ports": 8, "kernel streams": 1, "packets per second": 99, "path": "kernel"})
    assert own == {
        **{"sessions": 2, "ports": 8, "kernel_streams": 1, "plays": None, "packets_per_second": 99, "path": "kernel"}
    }
    theirs = read_figures({"currentstatistics": {"sessionstotal": 5, "packetrate": 250}})
    assert (theirs["sessions"], theirs["packets_per_second"], theirs["ports"], theirs["path"]) == (5, 250, None, None)
    assert set(read_figures({"calls": "x", "path": 3}).values()) == {None}
