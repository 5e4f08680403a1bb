"""What shall go wrong, and when: faults, and the scripts that deal them out.

Knows no provider and no socket. A fault says in words of the wire what becomes of one request;
a script gives out faults by recipient, by count or by a seeded chance.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

ANYBODY = "*"
"""In place of a recipient: the script is for every request that has none of its own."""

Latency = Callable[[random.Random], float]
"""Draws how long one answer takes, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What becomes of one request. Fields combine; without any the request is answered as usual.

    ``delay_s`` is waited before the answer; the push itself is judged (and taken) on arrival.
    ``status`` and ``reason`` are answered in place of the provider's own judgement, 0 keeps it;
    ``reason`` is put into the provider's own error shape, ``body`` is sent verbatim instead.
    ``timestamp_ms`` belongs to a 410 of APNs, ``retry_after_s`` becomes ``Retry-After``.
    ``message_id``: the id that the answer names (APNs: ``apns-id``).
    ``frames``: how the body is sent. ``split`` is two DATA frames, ``empty`` the body and then an empty
    DATA frame with END_STREAM, ``none`` no body at all.
    ``ending``: ``answer``, ``stall`` (no answer, ever), ``reset`` (RST_STREAM; on HTTP/1.1 the
    connection is cut), ``close`` (TCP is cut at once, with all that is in flight).
    ``goaway``: ``graceful`` announces the end and still answers what is in flight; ``hard`` announces and
    closes with nothing answered.
    ``accepted``: the push is judged and, if valid, taken, although the answer says something
    else. With ``goaway`` it says whether this request is still among the processed ones.
    """

    delay_s: float = 0.0
    status: int = 0
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timestamp_ms: int | None = None
    retry_after_s: float | str | None = None
    message_id: Literal["same", "other", "absent"] = "same"
    frames: Literal["one", "split", "empty", "none"] = "one"
    ending: Literal["answer", "stall", "reset", "close"] = "answer"
    reset_code: int = 2
    goaway: Literal["", "graceful", "hard"] = ""
    accepted: bool = False

    @classmethod
    def none(cls) -> Fault:
        """Nothing goes wrong: a step of a script that lets one request pass."""
        return cls()

    @classmethod
    def answer(cls, status: int, reason: str = "", **more: Any) -> Fault:
        """Answer with ``status`` and ``reason``; ``more`` are fields of the fault."""
        return cls(status=status, reason=reason, **more)

    @classmethod
    def slow(cls, delay_s: float) -> Fault:
        """Take the push at once, and answer after ``delay_s``."""
        return cls(delay_s=delay_s)

    @classmethod
    def stall(cls, *, accepted: bool = False) -> Fault:
        """Never answer this request; others on the connection are answered."""
        return cls(ending="stall", accepted=accepted)

    @classmethod
    def reset(cls, *, accepted: bool = False, code: int = 2) -> Fault:
        """RST_STREAM with an HTTP/2 error code (2 internal error, 7 refused stream)."""
        return cls(ending="reset", accepted=accepted, reset_code=code)

    @classmethod
    def close(cls, *, accepted: bool = False) -> Fault:
        """Cut the connection, without a word, with all that is in flight."""
        return cls(ending="close", accepted=accepted)

    @classmethod
    def go_away(cls, *, hard: bool = False, accepted: bool = True, reason: str = "Shutdown") -> Fault:
        """GOAWAY. This request is the last processed one; with ``accepted=False`` the first that is not."""
        return cls(goaway="hard" if hard else "graceful", accepted=accepted, reason=reason)


def lognormal(median_s: float, p99_s: float) -> Latency:
    """Latency as networks have it: half the answers within ``median_s``, one in a hundred over ``p99_s``."""
    mu, sigma = math.log(median_s), math.log(p99_s / median_s) / 2.326
    return lambda chance: chance.lognormvariate(mu, sigma)


class FaultScripts:
    """Deals out faults: a recipient's own script first, then by count, then by chance, then latency."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._steps: dict[str, deque[Fault]] = {}
        self._forever: dict[str, Fault] = {}
        self._every: list[tuple[int, Fault, bool]] = []
        self._rates: list[tuple[float, Fault]] = []
        self._latency: Latency | None = None
        self._count = 0
        self.quiet = True

    def script(self, recipient: str, steps: Sequence[Fault], *, forever: bool = False) -> None:
        """The next requests for ``recipient`` meet ``steps``, one each; then all is well again.

        ``forever`` repeats the last step. A new script replaces the former; :data:`ANYBODY` is for
        every recipient without one of its own.
        """
        self._steps[recipient] = deque(steps)
        self._forever.pop(recipient, None)
        if forever and steps:
            self._forever[recipient] = steps[-1]
        self._heard()

    def every(self, count: int, fault: Fault, *, per_connection: bool = True) -> None:
        """Every ``count``-th request meets ``fault``: of a connection, or of all of them together."""
        self._every.append((count, fault, per_connection))
        self._heard()

    def rate(self, share: float, fault: Fault) -> None:
        """A seeded ``share`` (0 to 1) of the requests meets ``fault``."""
        self._rates.append((share, fault))
        self._heard()

    def latency(self, latency: float | Latency | None) -> None:
        """Every answer takes this long: seconds, or a drawn time such as :func:`lognormal`."""
        self._latency = (lambda _: latency) if isinstance(latency, int | float) else latency
        self._heard()

    def clear(self) -> None:
        """All is well from now on."""
        self._steps.clear()
        self._forever.clear()
        self._every.clear()
        self._rates.clear()
        self._latency = None
        self._heard()

    def fault_for(self, recipient: str, request_of_connection: int) -> Fault | None:
        """What becomes of this request; None if nothing goes wrong. Counts the request."""
        fault = self._scripted(recipient) or self._scripted(ANYBODY)
        self._count += 1
        if fault is None:
            fault = self._counted(request_of_connection) or self._drawn()
        if self._latency is None or (fault is not None and fault.delay_s):
            return fault
        return replace(fault or Fault(), delay_s=max(0.0, self._latency(self._chance)))

    def _scripted(self, recipient: str) -> Fault | None:
        steps = self._steps.get(recipient)
        if steps:
            return steps.popleft()
        return self._forever.get(recipient)

    def _counted(self, request_of_connection: int) -> Fault | None:
        for count, fault, per_connection in self._every:
            if (request_of_connection if per_connection else self._count) % count == 0:
                return fault
        return None

    def _drawn(self) -> Fault | None:
        for share, fault in self._rates:
            if self._chance.random() < share:
                return fault
        return None

    def _heard(self) -> None:
        # Read for every request: without any script nothing is looked up.
        self.quiet = not (self._steps or self._forever or self._every or self._rates or self._latency)
