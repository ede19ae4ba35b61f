"""Prompts and tones that are played to a side of a call: one timer sends the packets of all of them.

While something is played to a side, what the other side sends does not reach it.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from media.errors import OutOfPlays
from media.prompt import FRAME, FRAME_SECONDS, Prompt
from media.relay import Port
from media.rtp import HEADER
from media.session import Call, Stream

LATE_LIMIT: Final = 5
"""Packets that are made up for after a pause of ours; of a longer one the rest is left out."""


class Sink(Port):
    """Takes what is not to be heard."""

    __slots__ = ()

    def __init__(self) -> None:
        """It has no socket, and nothing of what belongs to one."""
        for name in Port.__slots__:
            setattr(self, name, None)

    def send(self, data: memoryview) -> bool:
        """Let it vanish."""
        return True


class Play:
    """Something that is being played.

    Args:
        call: To whose side.
        stream: Of the call.
        side: 0 or 1.
        prompt: What.
        codec: In what.
        payload_type: Its number there.
        times: How often; 0: until it is stopped.
    """

    __slots__ = (
        "_at", "_buffer", "_frames", "_left", "_marker", "_sequence", "_ssrc", "_timestamp", "_type", "call", "port",
        "side", "stream",
    )  # fmt: skip

    def __init__(
        self, call: Call, stream: Stream, side: int, prompt: Prompt, codec: str, payload_type: int, times: int
    ) -> None:
        leg = stream.legs[side]
        assert leg is not None
        self.call, self.stream, self.side = call, stream, side
        self.port = leg.rtp
        self._frames = prompt.frames(codec)
        self._at, self._left = 0, times or -1
        self._type = payload_type
        self._ssrc, self._sequence = random.getrandbits(32), random.getrandbits(15)
        self._timestamp = random.getrandbits(31)
        self._buffer = bytearray(12 + FRAME)
        self._marker = 0x80

    def send(self) -> bool:
        """Send the next packet; returns whether there is another."""
        kind, self._marker = self._type | self._marker, 0
        HEADER.pack_into(self._buffer, 0, 0x80, kind, self._sequence & 0xFFFF, self._timestamp, self._ssrc)
        self._buffer[12:] = self._frames[self._at]
        data, port = memoryview(self._buffer), self.port
        port.send(data) if port.cipher is None else port.send_encrypted(data, port.cipher)
        self._sequence += 1
        self._timestamp = (self._timestamp + FRAME) & 0xFFFFFFFF
        self._at += 1
        if self._at == len(self._frames):
            self._at = 0
            self._left -= 1
        return self._left != 0


class Player:
    """All that an engine plays.

    Args:
        limit: Most plays at once.
        ended: Told of a stream to which nothing is played any more.
    """

    def __init__(self, limit: int, ended: Callable[[Call, Stream], None]) -> None:
        self._limit = limit
        self._ended = ended
        self._plays: list[Play] = []
        self._streams: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._sink = Sink()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._plays)

    def is_playing(self, stream: Stream) -> bool:
        """Whether something is played to a side of a stream."""
        return id(stream) in self._streams

    def mute(self, stream: Stream) -> None:
        """Keep what the other side sends from whom something is played to; after the stream has been wired."""
        for play in self._plays:
            other = stream.legs[1 - play.side] if play.stream is stream else None
            if other is not None:
                other.rtp.out = self._sink

    def play(self, play: Play) -> None:
        """Begin with something, in place of what is played there now.

        Raises:
            OutOfPlays: there are too many.
        """
        others = [each for each in self._plays if each.port is not play.port]
        if len(others) >= self._limit:
            raise OutOfPlays(f"{self._limit} prompts and tones are played already")
        self._keep([*others, play])
        self.mute(play.stream)
        if self._timer is None:
            self._due = time.monotonic()
            self._tick()

    def stop(self, call: Call, side: int | None = None) -> int:
        """End what is played to a side of a call, or to both; returns how much that was."""
        stopped = [play for play in self._plays if play.call is call and side in (None, play.side)]
        self._remove(stopped)
        return len(stopped)

    def forget(self, call: Call) -> None:
        """A call is over."""
        if self._plays:
            self._keep([play for play in self._plays if play.call is not call])

    def close(self) -> None:
        """End everything, and tell nobody."""
        self._keep([])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._due > LATE_LIMIT * FRAME_SECONDS:
            self._due = now
        while self._due <= now:
            self._due += FRAME_SECONDS
            self._remove([play for play in self._plays if not play.send()])
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, self._due - now), self._tick) if self._plays else None

    def _remove(self, gone: list[Play]) -> None:
        if gone:
            self._keep([play for play in self._plays if play not in gone])
            for play in gone:
                if not self.is_playing(play.stream):
                    self._ended(play.call, play.stream)

    def _keep(self, plays: list[Play]) -> None:
        self._plays = plays
        self._streams = {id(play.stream) for play in plays}
