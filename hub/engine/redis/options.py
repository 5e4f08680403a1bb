"""What the Redis engine is told: where Redis is, and every limit and pace of the engine.

Knows neither settings files nor environment variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Where Redis is and how the engine behaves. Durations in seconds.

    Forms of ``url`` (each ``redis`` may be ``rediss`` for TLS), the password percent-encoded::

        redis://[[user]:password@]host[:port][/db]
        unix://[[user]:password@]/path/to/socket[?db=0]
        redis+sentinel://[[user]:password@]host:port[,host:port...]/primary_name[/db]
        redis+cluster://[[user]:password@]host:port[,host:port...]

    TLS is tuned by the query: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile`` (paths),
    ``ssl_check_hostname`` (true, false), ``ssl_cert_reqs`` (required, none). Sentinels that ask for a
    password of their own get ``sentinel_username`` and ``sentinel_password`` from there.
    """

    url: str = field(repr=False)
    prefix: str = "hub:"
    partitions: int = 64
    lease_s: float = 10.0
    lease_renew_s: float = 3.0
    probe_interval_s: float = 1.0
    probe_timeout_s: float = 3.0
    command_timeout_s: float = 5.0
    """From the call of a command to its answer, everything in between included."""
    connect_timeout_s: float = 3.0
    """For reaching a server and introducing oneself to it."""
    max_waiting_commands: int = 20_000
    """Per primary, queued and unanswered together; more are refused at once."""
    max_waiting_bytes: int = 64 * 1024 * 1024
    """Per primary, of all commands that wait; more are refused at once."""
    subscribe_chunk_count: int = 500
    """Channels named in one command when a link is subscribed anew; the loop breathes in between."""
    max_revocations: int = 100_000
    """Blocked users and revoked tokens together; every node has a copy of them."""
    topology_interval_s: float = 10.0
    """How often Sentinel or the Cluster is asked where the primaries are although nothing failed."""
    replace_policy: bool = False
    """Replace another policy in the schema although other nodes live: a rolling change of namespaces."""

    def __post_init__(self) -> None:
        if self.partitions < 1:
            raise ValueError("partitions must be at least 1")
        if self.lease_renew_s >= self.lease_s:
            raise ValueError("lease_renew_s must be shorter than lease_s")
        if "{" in self.prefix or "}" in self.prefix:
            raise ValueError("prefix must hold no braces: they mark the partition in a key")
