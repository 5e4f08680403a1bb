"""The clients of a benchmark, spread over several processes, as one thing to give orders to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.support import Answer, Child, cores

MOST_PER_PROCESS = 4_500
"""Sockets of one client process; more would end up near the limits of it."""


class Crowd:
    """``count`` clients of one server.

    Args:
        count: how many, in as few processes as the limit allows.
        port: where the server listens on 127.0.0.1.
        kind: ``bare`` is content with the upgrade, ``echo`` wants one frame answered, ``hub``
            connects with a token of its own user and subscribes, ``device`` names its app as well.
        channel: what each subscribes to; ``{number}`` is the client, ``{room}`` one of ``rooms``.
        cursors: positions by channel, for clients that resume.
        careful: watch that every publication is the next one, instead of counting bytes.
        processes: at least so many.
        first: number of the first client, which names its user.
        program: module of the client process and its arguments.
    """

    def __init__(
        self,
        count: int,
        port: int,
        kind: str = "hub",
        *,
        channel: str = "",
        rooms: int = 1,
        cursors: Mapping[str, tuple[int, str]] | None = None,
        careful: bool = False,
        processes: int = 1,
        first: int = 0,
        program: Sequence[str] = ("benchmarks.light_phones",),
    ) -> None:
        _, client_cores = cores()
        needed = max(processes, -(-count // MOST_PER_PROCESS))
        self._sizes = [count // needed + (index < count % needed) for index in range(needed)]
        self._children = [Child(*program, pinned_to=client_cores) for _ in self._sizes]
        for child, size in zip(self._children, self._sizes, strict=True):
            child.tell(
                "prepare",
                first=first,
                count=size,
                port=port,
                kind=kind,
                channel=channel,
                rooms=rooms,
                cursors=dict(cursors or {}),
                careful=careful,
            )
            first += size
        for child in self._children:
            child.hear()

    def _ask_all(self, do: str, **what: Any) -> list[Answer]:
        for child in self._children:
            child.tell(do, **what)
        return [child.hear() for child in self._children]

    def go(self, *, window: int = 64, comes_back: bool = False) -> list[float]:
        """Connect all, ``window`` at a time in each process; the seconds that each took."""
        answers = self._ask_all("go", window=window, comes_back=comes_back)
        return [waited_s for answer in answers for waited_s in answer["waited_s"]]

    def set_back(self, cursors: Mapping[str, tuple[int, str]]) -> None:
        """Have all clients that are about to connect resume from these positions."""
        self._ask_all("set_back", cursors=dict(cursors))

    def expect(self, publications: int) -> None:
        """Begin to wait until every client has got so many."""
        for child, size in zip(self._children, self._sizes, strict=True):
            child.tell("count_to", marks=publications * size)

    def all_arrived(self) -> int:
        """Wait for what :meth:`expect` said; the bytes that it was.

        Raises:
            RuntimeError: when more came than was sent.
        """
        answers = [child.hear() for child in self._children]
        if any(answer["excess"] for answer in answers):
            raise RuntimeError(f"more came than was sent: {answers}")
        return sum(answer["bytes"] for answer in answers)

    def expect_cut(self) -> None:
        """All are about to be cut and to come back; :meth:`back_at_s` then waits for them."""
        self._ask_all("expect_cut")

    def back_at_s(self) -> list[float]:
        """Wait until all are live again after a cut; the moments of the system's monotonic clock."""
        return [ready_at_s for child in self._children for ready_at_s in child.hear()["ready_at_s"]]

    def hang_up(self) -> None:
        """Cut all connections."""
        self._ask_all("hang_up")

    def report(self) -> list[Answer]:
        """What each process saw."""
        return self._ask_all("report")

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all clients."""
        return sum(child.cpu_s for child in self._children)

    def stop(self) -> None:
        """End all."""
        for child in self._children:
            child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
