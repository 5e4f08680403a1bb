"""Runs scripts and commands on the primary of a tag. (Signatures; the inside follows.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.engine.redis.keys import Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.scripts import Script
from hub.errors import INTERNAL, HubError

Argument = str | bytes | int


class CommandRefused(HubError):
    """The server answered with an error that no retry mends (WRONGTYPE, a fault in a script).

    ``code`` is the first word of the server's answer, for example ``WRONGTYPE``, ``ERR``.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(INTERNAL, detail)
        self.code = code


class Commands:
    """Scripts and commands, each on the primary that serves its tag.

    What is asked in one turn of the loop goes to a primary as one write, and is executed there
    in the order of the calls. Never blocking commands. Replies are bytes, int, list or None.
    Safe to cancel: a command that was not sent yet is dropped, a sent one runs, unheard.
    """

    def __init__(self, options: RedisOptions, keys: Keys) -> None: ...

    @property
    def publish_verb(self) -> str:
        """``SPUBLISH`` on a Cluster, else ``PUBLISH``: scripts get it as an argument."""
        raise NotImplementedError

    async def start(self) -> None:
        """Find and reach every primary.

        Raises:
            EngineUnavailable: when one cannot be reached; the text says why (password, version, ...).
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Close everything; what waits fails with EngineUnavailable. Idempotent."""
        raise NotImplementedError

    async def run(
        self,
        tag: str,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeatable: bool = False,
    ) -> Any:
        """Run ``script`` on the primary of ``tag``. All keys must carry the tag.

        ``repeatable`` says that running it twice does no harm (a read): then it is sent again when its
        connection is lost. Everything else is sent again only after an answer that proves that it did not run.

        Raises:
            EngineUnavailable: no answer within ``command_timeout_s`` of this call, a lost connection,
                a full queue. Whether a write happened is unknown.
            CommandRefused: the server answered with another error.
        """
        raise NotImplementedError

    async def call(self, tag: str, *command: Argument, repeatable: bool = False) -> Any:
        """Run one command on the primary of ``tag``; else as :meth:`run`."""
        raise NotImplementedError
