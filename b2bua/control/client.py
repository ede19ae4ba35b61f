"""Ask the workers of this machine over their control sockets."""

import asyncio
from pathlib import Path

import orjson

from b2bua.control.messages import SIZE_LIMIT, ControlError, Message, Refused


class ControlClient:
    """Every worker whose socket lies in `directory` (`<data directory>/run`).

    Args:
        directory: Where the sockets are.
        timeout: Longest wait for one answer, in seconds.
    """

    def __init__(self, directory: Path, timeout: float = 2.0) -> None:
        self._directory = directory
        self._timeout = timeout

    def workers(self) -> list[str]:
        """Names of the SIP workers that have a socket, running or not, in order."""
        return sorted(path.stem for path in self._directory.glob("sip-*.sock"))

    async def request(self, worker: str, verb: str, **arguments: object) -> Message:
        """Send one request to one worker and return its answer.

        Raises:
            Refused: the worker refused.
            ControlError: no answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(worker, {"verb": verb, **arguments})
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ControlError(f"worker {worker} does not answer: {str(error) or type(error).__name__}") from error
        if not answer.get("ok"):
            raise Refused(worker, str(answer.get("error", "refused")))
        return answer

    async def _exchange(self, worker: str, request: Message) -> Message:
        path = str(self._directory / f"{worker}.sock")
        reader, writer = await asyncio.open_unix_connection(path, limit=SIZE_LIMIT)
        try:
            writer.write(orjson.dumps(request) + b"\n")
            await writer.drain()
            answer: Message = orjson.loads(await reader.readuntil(b"\n"))
            return answer
        finally:
            writer.close()

    async def request_all(self, verb: str, **arguments: object) -> list[Message]:
        """Ask every worker; those that do not answer are left out."""
        answers = await asyncio.gather(
            *(self.request(worker, verb, **arguments) for worker in self.workers()), return_exceptions=True
        )
        return [answer for answer in answers if isinstance(answer, dict)]

    async def calls(self, account_ids: list[int] | None = None, limit: int = 100) -> tuple[int, list[Message]]:
        """Live calls of these accounts and those below them (None: of all), oldest first, and how many there are."""
        answers = await self.request_all("calls", account_ids=account_ids, limit=limit)
        calls = [call for answer in answers for call in answer["calls"]]
        calls.sort(key=lambda call: (call["received_at"], call["call_id"]))
        return sum(answer["total"] for answer in answers), calls[:limit]

    async def quality(self, call_ids: list[str]) -> dict[str, Message]:
        """What media engines measure of calls now, by call id; without those that no engine carries or tells of."""
        answers = await self.request_all("quality", call_ids=call_ids) if call_ids else []
        return {name: quality for answer in answers for name, quality in answer.get("calls", {}).items()}

    async def engines(self) -> list[tuple[str, list[Message]]]:
        """Media engines as each worker sees them, with the worker's name."""
        workers = self.workers()
        answers = await asyncio.gather(*(self.request(worker, "engines") for worker in workers), return_exceptions=True)
        found = zip(workers, answers, strict=True)
        return [(worker, answer.get("engines", [])) for worker, answer in found if isinstance(answer, dict)]

    async def hang_up(self, *, call_id: str | None = None, account_id: int | None = None) -> int:
        """End one call, or all calls of an account and those below it; return how many were ended."""
        answers = await self.request_all("hangup", call_id=call_id, account_id=account_id)
        return sum(answer["ended"] for answer in answers)

    async def trace(self, name: str) -> Message | None:
        """The messages so far of a call that is up or just over, by its id or the SIP Call-ID of a leg; None: no such.

        They have `call_id`, `received_at` and `messages` as `cdr.trace` reads them.
        """
        answers = await self.request_all("trace", name=name)
        return next((answer["trace"] for answer in answers if answer.get("trace") is not None), None)

    async def registrations(
        self,
        account_ids: list[int] | None = None,
        limit: int = 100,
        *,
        search: str = "",
        after: tuple[str, str] | None = None,
        before: tuple[str, str] | None = None,
    ) -> tuple[int, list[Message]]:
        """Registered contacts, in the order of name and contact, and how many match.

        Args:
            account_ids: Only of SIP users of these accounts and of those below them; None: of all.
            limit: Most that are returned.
            search: Only those that have this text in their name, account, contact, source or software.
            after: Those after this name and contact.
            before: The last ones before this name and contact.
        """
        answers = await self.request_all(
            "registrations", account_ids=account_ids, limit=limit, search=search, after=after, before=before
        )
        found = [each for answer in answers for each in answer["registrations"]]
        found.sort(key=lambda each: (each["username"], each["contact"]))
        return sum(answer["total"] for answer in answers), found[:limit] if before is None else found[-limit:]

    async def remove_registration(self, sip_user_id: int, contact: str) -> int:
        """Remove a contact of a SIP user, and return how many were: 1, or 0 where it was not registered any more.

        Raises:
            ControlError: no worker could do it.
        """
        answers = await self.request_all("remove_registration", sip_user_id=sip_user_id, contact=contact)
        if not answers:
            raise ControlError("no SIP worker could remove the registration")
        return sum(answer["removed"] for answer in answers)

    async def explain(self, **question: object) -> Message:
        """Ask the first worker that answers what would become of a call; `messages` lists what it takes and gives.

        Raises:
            Refused: the question cannot be answered.
            ControlError: no worker answers.
        """
        return await self._ask_first("explain", **question)

    async def bans(self, search: str = "", limit: int = 100) -> tuple[int, list[Message]]:
        """Bans whose address has a text in it, the latest first, and how many there are.

        Raises:
            Refused: the live store is away.
            ControlError: no worker answers.
        """
        answer = await self._ask_first("bans", search=search, limit=limit)
        return answer["total"], answer["bans"]

    async def ban(self, address: str, seconds: float, *, by: str, reason: str) -> str:
        """Ban a source for all workers, and return it as it is written.

        Raises:
            Refused: it is none, or one that is never banned, or the live store is away.
            ControlError: no worker answers.
        """
        answer = await self._ask_first("ban", address=address, seconds=seconds, by=by, reason=reason)
        return str(answer["address"])

    async def unban(self, address: str) -> int:
        """Lift a ban for all workers, and return how many were: 1 or 0.

        Raises:
            Refused: the live store is away.
            ControlError: no worker answers.
        """
        return int((await self._ask_first("unban", address=address))["lifted"])

    async def _ask_first(self, verb: str, **arguments: object) -> Message:
        """Ask the first worker that answers.

        Raises:
            Refused: it refused.
            ControlError: no worker answers.
        """
        for worker in self.workers():
            try:
                return await self.request(worker, verb, **arguments)
            except Refused:
                raise
            except ControlError:
                continue  # a worker that died leaves its socket
        raise ControlError("no SIP worker runs on this machine")
