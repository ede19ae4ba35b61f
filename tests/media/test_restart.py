"""An engine goes on with the calls of one that died, from its file."""

import asyncio
from pathlib import Path

import pytest

from media import ng, restart
from media.engine import Engine
from media.relay import LOCK_AFTER
from media.restart import SessionFile
from tests.media.rig import End, Rig, settings


def states(path: Path) -> dict[str, object]:
    return dict(SessionFile(path).load())


class TestFile:
    def test_newest_state_of_each_call_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions"
        file = SessionFile(path)
        file.load()
        file.save("a", {"n": 1})
        file.save("b", {"n": 1})
        file.save("a", {"n": 2})
        file.drop("b")
        assert states(path) == {"a": {"n": 2}}

    def test_line_that_was_cut_off_is_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions"
        path.write_bytes(b'["a",{"n":1}]\n["b",{"n"')
        assert states(path) == {"a": {"n": 1}}
        assert path.read_bytes() == b'["a",{"n":1}]\n'

    def test_file_does_not_grow_for_ever(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions"
        file = SessionFile(path)
        for number in range(1200):
            file.save("a", {"n": number, "text": "x" * 1000})
            file.tidy()
        assert path.stat().st_size < 1_100_000
        assert states(path)["a"] == {"n": 1199, "text": "x" * 1000}

    def test_keys_of_a_call_that_has_ended_do_not_stay(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "sessions"
        file = SessionFile(path)
        file.save("a", {"has_keys": True, "key": "old"})
        file.save("a", {"has_keys": True, "key": "new"})
        file.tidy()
        assert b"old" in path.read_bytes()
        monkeypatch.setattr(restart, "KEYS_KEPT", 0.0)
        file.tidy()
        assert b"old" not in path.read_bytes()
        file.drop("a")
        assert b"new" in path.read_bytes()
        file.tidy()
        assert path.read_bytes() == b""
        file.close()

    def test_file_without_a_call_is_removed_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions"
        file = SessionFile(path)
        file.save("a", {})
        file.close()
        assert path.exists()
        file = SessionFile(path)
        file.load()
        file.drop("a")
        file.close()
        assert not path.exists()

    def test_engine_works_where_the_file_cannot_be_written(self, tmp_path: Path) -> None:
        file = SessionFile(tmp_path / "missing" / "sessions")
        file.save("a", {})
        file.drop("a")
        file.close()


def abandon(engine: Engine) -> None:
    """Let an engine die: its sockets close, nothing else is done."""
    engine.close()


class TestEngine:
    def test_successor_goes_on_with_sources_ports_and_counters(self, tmp_path: Path) -> None:
        async def main() -> None:
            caller, callee, nat = End(), End(), End()
            engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            rig = Rig(engine, caller, callee)
            rig.connect()
            caller.send(LOCK_AFTER, via=nat.rtp)
            await callee.gets(LOCK_AFTER)
            callee.send(1)
            await nat.gets(1)
            abandon(engine)
            engine = rig.engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            engine.restore()
            callee.send(2)
            await nat.gets(2)
            caller.send(1, via=nat.rtp)
            await callee.gets(1)
            # Noted when the source was certain, before that packet was counted.
            assert rig.stats("a")["packets"] >= LOCK_AFTER
            # What came meanwhile was not measured.
            assert rig.medium("a")["quality"] == {"codec": "PCMU"}
            rig.offer(callee.sdp(extra="a=sendonly\n"), tag="b")
            rig.answer(caller.sdp(), tags=("b", "a"))
            rig.ask(ng.delete("call"))
            assert engine.ports.used == 0
            engine.close()
            assert not (tmp_path / "sessions").exists()
            for end in (caller, callee, nat):
                end.close()

        asyncio.run(main())

    def test_call_that_waited_for_its_answer_gets_it_from_the_successor(self, tmp_path: Path) -> None:
        async def main() -> None:
            caller, callee = End(), End()
            engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            rig = Rig(engine, caller, callee)
            callee.learn(rig.offer())
            abandon(engine)
            rig.engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            rig.engine.restore()
            caller.learn(rig.answer())
            await rig.talk()
            rig.engine.end()
            rig.engine.close()
            caller.close()
            callee.close()

        asyncio.run(main())

    def test_keys_that_we_have_no_use_for_are_in_no_file(self, tmp_path: Path) -> None:
        async def main() -> None:
            caller, callee = End(), End()
            engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            secret = f"m=audio {caller.port} RTP/SAVP 0\na=key-mgmt:mikey secret\n"
            assert b"secret" in Rig(engine, caller, callee).offer(caller.sdp(media=secret))
            assert b"secret" not in (tmp_path / "sessions").read_bytes()
            engine.end()
            engine.close()
            caller.close()
            callee.close()

        asyncio.run(main())

    def test_call_whose_port_is_taken_is_dropped_and_takes_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            caller, callee = End(), End()
            engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            rig = Rig(engine, caller, callee)
            rig.connect()
            (tmp_path / "copy").write_bytes((tmp_path / "sessions").read_bytes())
            other = Engine(settings(), None, SessionFile(tmp_path / "copy"))
            other.restore()
            assert (other.calls, other.ports.used) == ({}, 0)
            other.close()
            engine.end()
            engine.close()
            caller.close()
            callee.close()

        asyncio.run(main())

    def test_state_of_another_form_is_dropped(self, tmp_path: Path) -> None:
        (tmp_path / "sessions").write_bytes(b'["a",{"n":1}]\n["b",[]]\n["c",{"streams":3}]\n')

        async def main() -> None:
            engine = Engine(settings(), None, SessionFile(tmp_path / "sessions"))
            engine.restore()
            assert engine.calls == {}
            engine.close()

        asyncio.run(main())
