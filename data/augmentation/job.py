"""Runs many requests: a few at a time, each answered once, with failures reported at the end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tqdm.auto import tqdm

from .answer_checks import AnswerFault, clean_answer
from .journal import Journal
from .requests import BackendError, BackendRefused, TextBackend, TextRequest

Item = TypeVar("Item")
# After this many failed requests in a row the server is down: waiting for the rest is useless.
GIVE_UP_AFTER = 10


class JobError(RuntimeError):
    """A job could not be finished; its answers are stored and are not requested again."""


@dataclass
class JobSummary:
    """
    Result of a job.

    Attributes:
        items: number of items.
        kept: number of items with a caption.
        asked: requests sent by this run; the other answers were in the journal.
        faults: number of items without a caption, by reason.
        errors: the first few reasons why requests were not answered.
    """

    items: int = 0
    kept: int = 0
    asked: int = 0
    faults: Counter = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for display."""
        share = self.kept / self.items if self.items else 0.0
        lines = [f"{self.kept} of {self.items} kept ({share:.1%}), {self.asked} requests sent now"]
        lines += [f"  {count} skipped: {reason}" for reason, count in sorted(self.faults.items())]
        return lines + [f"  {error}" for error in self.errors]


class Asker:
    """
    Gets answers from the journal, and otherwise from a backend.

    Args:
        backend: backend that answers the requests.
        journal: stored answers.
        summary: counts the sent requests.
        attempts: maximum number of requests for one item if its answers are rejected.
    """

    def __init__(self, backend: TextBackend, journal: Journal, summary: JobSummary, attempts: int = 3):
        self.backend, self.journal, self.summary, self.attempts = backend, journal, summary, attempts
        self._failures = 0

    async def ask(
        self, request: TextRequest, fault_of: Callable[[str], AnswerFault | None]
    ) -> tuple[str | None, str]:
        """
        A usable answer and "", or None and the reason.

        Raises:
            BackendRefused: if no request can be answered.
            JobError: if the backend has not answered many requests in a row.
        """
        fault: AnswerFault | None = None
        for attempt in range(self.attempts):
            request = TextRequest(**{**vars(request), "attempt": attempt})
            answer = self.journal.get(request.key)
            if answer is None:
                try:
                    answer = await self.backend.answer(request)
                except BackendError as error:
                    self._note_failure(str(error))
                    return None, "not answered"
                self._failures = 0
                self.summary.asked += 1
                self.journal.put(request.key, answer)
            answer = clean_answer(answer)
            fault = fault_of(answer)
            if fault is None:
                return answer, ""
        return None, str(fault)

    def _note_failure(self, reason: str) -> None:
        self._failures += 1
        if len(self.summary.errors) < 3 and reason not in self.summary.errors:
            self.summary.errors.append(reason)
        if self._failures >= GIVE_UP_AFTER:
            raise JobError(
                f"{GIVE_UP_AFTER} requests in a row failed ({reason}). All answers so far are saved; to resume, "
                "run the command again."
            )


def run_job(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[Any]],
    *,
    concurrency: int,
    description: str,
    progress: bool = True,
) -> list[Any]:
    """
    Runs a coroutine for every item, and returns the results in order.

    Args:
        items: the items.
        work: called once per item.
        concurrency: number of items at a time.
        description: text of the progress bar.
        progress: show it.

    Raises:
        JobError: if the backend refuses, or has not answered many requests in a row.
    """

    async def run() -> list[Any]:
        results: list[Any] = [None] * len(items)
        waiting = iter(range(len(items)))
        with tqdm(total=len(items), desc=description, unit="caption", disable=not progress) as bar:

            async def worker() -> None:
                for place in waiting:
                    results[place] = await work(items[place])
                    bar.update()

            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(items))):
                    group.create_task(worker())
        return results

    try:
        return asyncio.run(run())
    except ExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, BackendRefused):
            raise JobError(f"{first} All answers so far are saved.") from None
        raise first from None


def estimate_tokens(requests: Sequence[TextRequest]) -> tuple[int, int]:
    """
    Estimates the tokens of requests and their answers: four characters of English per token, and a few per message.

    Returns:
        Tokens sent and tokens received.
    """
    sent = sum(len(request.prompt) // 4 + 8 for request in requests)
    received = sum(sum(len(text) for text in request.texts) // 4 + 4 for request in requests)
    return sent, received


__all__ = ["Asker", "JobError", "JobSummary", "estimate_tokens", "run_job"]
