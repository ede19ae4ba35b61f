"""The commands `play media` and `stop media` of an engine, named and meant as rtpengine's.

`play media` plays to the side of `from-tag`, or to both with the flag `all` or without a tag: `file`, a name of the
prompts' directory or of a tone, or `blob`, a small WAV file itself; `repeat-times` times (0: until it is stopped). The
answer has its `duration` in milliseconds, all repetitions together, so that whoever waits for its end knows when that
is.
"""

from collections.abc import Callable
from typing import Final

from media import ng
from media.errors import InvalidPrompt, UnknownCall
from media.ng import Message
from media.player import Play, Player
from media.prompt import CODECS, Prompt, PromptLibrary, read_wav
from media.session import Call, Stream

REPEATS_LIMIT: Final = 1000

_BLOB_SECONDS: Final = 5
"""Longest sound of a request itself: it is converted while calls wait."""


class PlayCommands:
    """What an engine plays, and the commands for it.

    Args:
        library: What can be played by name.
        limit: Most plays at once.
        find: Gives the call of a request.
        taken: Told of a stream to which something is about to be played.
        ended: Told of a stream to which nothing is played any more.
    """

    def __init__(
        self,
        library: PromptLibrary,
        limit: int,
        find: Callable[[Message], Call],
        taken: Callable[[Stream], None],
        ended: Callable[[Call, Stream], None],
    ) -> None:
        self.library = library
        self.player = Player(limit, ended)
        self._find = find
        self._taken = taken

    @property
    def commands(self) -> dict[str, Callable[[Message], Message]]:
        """The commands by their names."""
        return {"play media": self._play, "stop media": self._stop}

    def _play(self, message: Message) -> Message:
        call, prompt, times = self._find(message), self._prompt(message), _times(message)
        plays = [_make(call, side, prompt, times) for side in _sides(call, message)]
        for play in plays:
            self._taken(play.stream)
            self.player.play(play)
        answer: Message = {"result": "ok"}
        return {**answer, "duration": round(1000 * prompt.seconds * times)} if times else answer

    def _stop(self, message: Message) -> Message:
        call = self._find(message)
        stopped = [self.player.stop(call, side) for side in _sides(call, message)]
        return {"result": "ok", "stopped": sum(stopped)}

    def _prompt(self, message: Message) -> Prompt:
        name, blob = message.get("file"), message.get("blob")
        if isinstance(name, str) and name:
            return self.library.find(name)
        if not isinstance(blob, str) or not blob:
            raise ng.MalformedMessage("play media takes a file or a blob")
        prompt = read_wav(blob.encode("utf-8", "surrogateescape"), "of the request")
        if prompt.seconds > _BLOB_SECONDS:
            raise InvalidPrompt(f"a blob lasts at most {_BLOB_SECONDS} s; what is longer belongs into a file")
        return prompt


def _times(message: Message) -> int:
    try:
        times = int(message.get("repeat-times", 1) or 0)
    except (TypeError, ValueError):
        raise ng.MalformedMessage("repeat-times is not a number") from None
    if not 0 <= times <= REPEATS_LIMIT:
        raise ng.MalformedMessage(f"repeat-times is up to {REPEATS_LIMIT}; 0: until it is stopped")
    return times


def _sides(call: Call, message: Message) -> list[int]:
    tag = message.get("from-tag")
    if not tag or "all" in (message.get("flags") or ()):
        return [side for side in (0, 1) if any(stream.legs[side] is not None for stream in call.streams)]
    side = call.side_of(str(tag))
    if side is None:
        raise UnknownCall("there is no side of this tag")
    return [side]


def _make(call: Call, side: int, prompt: Prompt, times: int) -> Play:
    """A play in the first codec that was agreed on and that we can write."""
    for stream in call.streams:
        if stream.kind != "audio" or stream.is_refused or stream.is_secure or stream.legs[side] is None:
            continue
        for payload_type in stream.agreed or stream.codecs:
            codec = stream.codecs.get(payload_type, "").upper()
            if codec in CODECS and stream.rates.get(payload_type) == 8000:
                return Play(call, stream, side, prompt, codec, payload_type, times)
    raise InvalidPrompt(f"the call has no codec that prompts can be played in: {', '.join(CODECS)}")
