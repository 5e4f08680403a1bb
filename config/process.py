"""The hub as a process: its name, its end, its logs, and the Redis it may use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.section import Secret, Section


class RedisSettings(Section):
    """Connection to Redis, for the engine of that name."""

    url: Secret | None = None
    """Address of Redis. Setting it chooses the `redis` engine. `REDIS_URL` stands in for it."""
    prefix: str = Field(default="hub:", min_length=1)
    """What every key of the hub begins with."""


class NodeSettings(Section):
    """This hub process among others."""

    name: str = ""
    """Name shown to operators. Empty: host name and process id."""


class ShutdownSettings(Section):
    """The orderly end."""

    deadline_s: float = Field(default=10, gt=0)
    """Seconds for connections to leave and requests to finish, after which the rest is cut."""


class LogSettings(Section):
    """What is logged, and how. Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for one object per line."""
