"""baresip, a telephone that others wrote: it is told what to do over its control connection, and tells what happens."""

import contextlib
import json
import os
import socket
import subprocess
import time
import wave
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.switch import free_port, wait_until

MODULES: Final = "/usr/lib/baresip/modules"

_CONFIG: Final = """
sip_listen {host}:{port}
{tls}
audio_player aubridge,sound
audio_source {sound}
audio_alert aubridge,alert
ausrc_srate 8000
auplay_srate 8000
module_path {modules}
module g711.so
module aubridge.so
{more}
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


class Baresip:
    """One telephone with one account, without a sound card.

    Args:
        directory: Its own; it is made.
        user: Its SIP user.
        secret: Of the user.
        registrar: `host:port` of the switch.
        host: Where it stands.
        transport: udp, tcp or tls.
        authorities: PEM file of whom it believes certificates.
        encrypts: Whether it speaks SRTP alone.
        hums: Whether it is heard; else it is silent until something comes.
    """

    def __init__(
        self,
        directory: Path,
        user: str,
        secret: str,
        registrar: str,
        *,
        host: str = "127.0.0.1",
        transport: str = "udp",
        authorities: Path | None = None,
        encrypts: bool = False,
        hums: bool = False,
    ) -> None:
        directory.mkdir()
        self.user = user
        self.registrar = registrar
        self.port = free_port()
        self._transport = transport
        control = free_port(socket.SOCK_STREAM)
        tls = f"sip_cafile {authorities}\nsip_verify_server yes" if authorities else ""
        more = ("module srtp.so\n" if encrypts else "") + ("module aufile.so" if hums else "")
        sound = f"aufile,{_write_sound(directory / 'sound.wav')}" if hums else "aubridge,sound"
        config = _CONFIG.format(
            host=host, port=self.port, modules=MODULES, control=control, tls=tls, more=more, sound=sound
        )
        (directory / "config").write_text(config)
        (directory / "accounts").write_text(
            f"<sip:{user}@{registrar};transport={transport}>;auth_user={user};auth_pass={secret};regint=60"
            ";answermode=auto;audio_codecs=pcma/8000/1,pcmu/8000/1"
            f"{';mediaenc=srtp-mand' if encrypts else ''}\n"
        )
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["baresip", "-f", str(directory), "-s"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=directory, env={**os.environ, "HOME": str(directory)},
            )  # fmt: skip
        self._buffer = b""
        self.events: list[dict[str, Any]] = []
        """What has happened, oldest first."""
        try:
            self._control: socket.socket = wait_until(lambda: self._connect(control), "baresip to listen")
        except BaseException:
            self.close()
            raise

    def _connect(self, port: int) -> socket.socket | None:
        assert self._process.poll() is None, self.log()
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=2.0)
        except OSError:
            return None
        connection.settimeout(0.1)
        return connection

    def log(self) -> str:
        """What it has printed, with its messages."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """End it; it takes its registration back."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        if hasattr(self, "_control"):
            self._control.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What it does

    def order(self, command: str, parameters: str = "") -> str:
        """Run a command and return what it says."""
        token = f"{command}-{time.monotonic_ns()}"
        text = json.dumps({"command": command, "params": parameters, "token": token}).encode()
        self._control.sendall(b"%d:%b," % (len(text), text))
        answers: list[dict[str, Any]] = []

        def answered() -> bool:
            answers.extend(each for each in self._read() if each.get("token") == token)
            return bool(answers)

        wait_until(answered, f"baresip to do {command}")
        return str(answers[0].get("data", ""))

    def dial(self, number: str) -> None:
        """Call a number through the switch."""
        self.order("dial", f"sip:{number}@{self.registrar};transport={self._transport}")

    def hang_up(self) -> None:
        """End the call."""
        self.order("hangup")

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Wait for an event: REGISTER_OK, CALL_ESTABLISHED, CALL_CLOSED, …; those before it are forgotten."""

        def found() -> dict[str, Any]:
            self._read()
            while self.events:
                event = self.events.pop(0)
                if event["type"] == kind:
                    return event
            return {}

        try:
            return dict(wait_until(found, f"{kind} of baresip"))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from error

    def wait_until_registered(self) -> None:
        """Wait until the switch has taken its registration."""
        wait_until(lambda: "OK" in self.order("reginfo"), f"baresip to register\n{self.log()}")

    def _read(self) -> list[dict[str, Any]]:
        """Take what has come; events go to `events`, answers to commands are returned."""
        with contextlib.suppress(TimeoutError):
            self._buffer += self._control.recv(65_536)
        answers: list[dict[str, Any]] = []
        while (colon := self._buffer.find(b":")) > 0:
            size = int(self._buffer[:colon])
            if len(self._buffer) < colon + size + 2:
                break
            message = json.loads(self._buffer[colon + 1 : colon + 1 + size])
            self._buffer = self._buffer[colon + size + 2 :]
            (self.events if message.get("event") else answers).append(message)
        return answers


def _write_sound(path: Path) -> Path:
    """A minute of something that can be heard."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\x00\x10\x00\xf0" * 240_000)
    return path
