"""The sender of development and tests: writes down what it would have sent, and sends nothing.

One JSON line a push, into a file or the log. Neither token nor subscription is in it, only the
prefix of a hash. ``answer`` decides what comes of an attempt; without one everything is accepted.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from workers.push import Outcome, Push, Verdict
from workers.senders.port import BadCredentials

logger = logging.getLogger(__name__)

Answer = Callable[[Push], Outcome | Awaitable[Outcome]]
"""What comes of an attempt; may take its time."""

_HASH_CHARS: Final = 12


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """``app`` names the lane; ``path`` is the file to append to, None writes to the log."""

    app: str
    path: Path | None = None


class RecordingSender:
    """Accepts everything and tells. See :class:`workers.senders.port.Sender` for what is promised."""

    def __init__(self, options: RecordingOptions, answer: Answer | None = None) -> None:
        self._options = options
        self._answer = answer

    async def start(self) -> None:
        """Make sure that the file can be written.

        Raises:
            BadCredentials: it cannot.
        """
        path = self._options.path
        if path is None:
            return
        try:
            _append(path, b"")
        except OSError as error:
            raise BadCredentials(
                f"push app {self._options.app!r} (recording): "
                f"{str(path)!r} cannot be written ({error.strerror})"
            ) from None

    async def send(self, push: Push) -> Outcome:
        """Write the push down; what comes of it is ``answer``'s to say, by default accepted."""
        try:
            self._record(orjson.dumps(_shown(push)))
        except TypeError as error:
            return Outcome(Verdict.DEAD, f"message not valid: {str(error)[:160]}")
        except OSError as error:
            return Outcome(Verdict.LATER, f"not written: {error.strerror}")
        if self._answer is None:
            return Outcome(Verdict.ACCEPTED, provider_id=push.push_id)
        said = self._answer(push)
        return await said if inspect.isawaitable(said) else said

    async def stop(self) -> None:
        """Nothing is kept open."""

    def _record(self, line: bytes) -> None:
        # Appended and closed each time: whoever watches the file may rotate or remove it.
        if self._options.path is not None:
            _append(self._options.path, line + b"\n")
        else:
            logger.info("would push %s", line.decode())


def _append(path: Path, what: bytes) -> None:
    with path.open("ab") as file:
        file.write(what)


def _shown(push: Push) -> dict[str, Any]:
    """Everything about ``push`` that is no secret of the phone's."""
    target = push.target
    return {
        "kind": push.kind,
        "push_id": push.push_id,
        "user": target.user,
        "device": target.device,
        "platform": target.platform,
        "provider": target.provider,
        "app": target.app,
        "environment": target.environment,
        "token_hash": target.token_hash[:_HASH_CHARS],
        "priority": push.priority,
        "expires_at_s": push.expires_at_s,
        "collapse_id": push.collapse_id,
        "badge": push.badge,
        "notification": dict(push.notification),
        "data": push.data,
        "overrides": dict(push.overrides),
        "hub": dict(push.hub),
    }
