"""The hub as a process: its name, its end, its logs, and the Redis it may use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.section import Secret, Section


class RedisSettings(Section):
    """Connection to Redis, for the engine of that name."""

    url: Secret | None = None
    """Address of Redis. Setting it chooses the `redis` engine. `REDIS_URL` stands in for it."""
    prefix: str = Field(default="hub:", min_length=1, pattern=r"^[^{}]+$")
    """What every key of the hub begins with."""
    command_timeout_s: float = Field(default=5, gt=0)
    """Seconds for one command, after which whoever asked gets a temporary error."""
    connect_timeout_s: float = Field(default=3, gt=0)
    """Seconds to reach a Redis server."""
    probe_interval_s: float = Field(default=1, gt=0)
    """Seconds between two probes of the link that brings publications."""
    probe_timeout_s: float = Field(default=3, gt=0)
    """Seconds after which a link that did not bring its probe is replaced."""
    lease_s: float = Field(default=10, gt=0)
    """Seconds after which a node that was not heard of counts as gone, with all of its presence."""
    lease_renew_s: float = Field(default=3, gt=0)
    """Seconds between two renewals of the lease; must be less than `lease_s`."""
    replace_policy: bool = False
    """Take over the namespaces of this configuration although nodes with other ones still run: \
for a change of namespaces without downtime."""


class RecoverySettings(Section):
    """How lost publications are looked for between a node and its engine."""

    check_interval_s: float = Field(default=40, gt=0, le=240)
    """Seconds of one slow round over the positions of all channels."""


class NodeSettings(Section):
    """This hub process among others."""

    name: str = ""
    """Name shown to operators. Empty: host name and process id."""
    verify_threads: int = Field(default=2, ge=0, le=64)
    """Threads for signatures of public keys (RSA, EC, Ed25519) when many tokens wait at once, as after a \
storm. 0: none, and everybody waits for them."""


class ShutdownSettings(Section):
    """The orderly end, at SIGTERM or SIGINT. Whatever stops the process should grant it `ready_wait_s` and \
`deadline_s` together, and a few seconds more."""

    ready_wait_s: float = Field(default=5, ge=0)
    """Seconds of serving on after SIGTERM while `/health/ready` says no already, so that load balancers \
notice before anybody is turned away. SIGINT, a person at a keyboard, is not made to wait."""
    connections_per_s: int = Field(default=1_000, ge=0)
    """Connections that each process closes per second, so that their clients do not all come to the other \
hubs at once; 0 closes all at once. It is exceeded, with a warning, where they would not be gone within \
`deadline_s`."""
    deadline_s: float = Field(default=20, gt=0)
    """Seconds after that for connections to leave and requests to finish, after which the rest is cut."""


class LogSettings(Section):
    """What is logged, and how. Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for one object per line."""
