"""The errors of media, with what the switch should answer (`status_hint`; 0: as it would without an engine).

MediaError
  InvalidDescription    a session description cannot be used (488)
  EngineRefused         an engine answered with an error
  NoEngine              no engine answered in time, or none is there
  OutOfPorts            the engine has no port left
  OutOfPlays            the engine plays as much as it may
  InvalidPrompt         there is no such prompt, or it cannot be used
  UnknownCall           the engine knows no such call
"""


class MediaError(Exception):
    """Root of the errors of media."""

    status_hint = 0
    """SIP status that follows; 0: none in particular."""


class InvalidDescription(MediaError):
    """A session description is malformed, or asks for what cannot be; the text says why."""

    status_hint = 488


class EngineRefused(MediaError):
    """An engine answered with an error.

    Args:
        reason: What it said.
        status: What it said the switch should answer; 0: nothing.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status_hint = status


class NoEngine(MediaError):
    """No engine answered in time, or none is there."""


class OutOfPorts(MediaError):
    """The engine has no port left, or as many calls as it may have; another one may do."""


class OutOfPlays(MediaError):
    """The engine plays as many prompts and tones as it may."""


class InvalidPrompt(MediaError):
    """There is no such prompt, it is of the wrong kind, or the call has no codec that it could be played in."""


class UnknownCall(MediaError):
    """The engine knows no such call, or no such side of it."""
