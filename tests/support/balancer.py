"""HAProxy before hubs, as people run it: health checks on ``/health/ready``, fewest connections first."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.support.processes import free_port, running
from tests.support.programs import require_program

_CONFIG = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    option http-keep-alive
    option forwardfor
    option redispatch
    retries 2
    timeout connect 1s
    timeout check 1s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    timeout http-request 10s
frontend public
    bind 127.0.0.1:{port}
    default_backend hubs
backend hubs
    balance leastconn
    option httpchk GET /health/ready
    default-server check inter 200ms fastinter 100ms fall 2 rise 1
{servers}
"""


@contextlib.asynccontextmanager
async def balancing(ports: Sequence[int], folder: Path) -> AsyncIterator[str]:
    """HAProxy before hubs on these ports, for the length of the block; the URL to reach them at."""
    port = free_port()
    servers = "\n".join(f"    server hub{number} 127.0.0.1:{each}" for number, each in enumerate(ports))
    config = folder / "haproxy.cfg"
    config.write_text(_CONFIG.format(port=port, servers=servers))
    command = [require_program("haproxy"), "-db", "-f", str(config)]
    async with running(command, log_path=folder / "haproxy.log", port=port):
        yield f"http://127.0.0.1:{port}"
