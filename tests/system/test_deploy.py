"""The proxies of deploy/ before real hubs: as the files stand there, addresses and certificate apart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.auth import TokenSigner, issue_connection_token
from hub.doctor.redis import check_redis
from tests.hub.doctor.findings import all_of, bad, settings_of
from tests.support.certificates import LocalCertificate, make_certificate
from tests.support.hub_process import API_KEY, SECRET, Running, running_hub
from tests.support.markdown import ROOT
from tests.support.processes import RunningProcess, free_port, running
from tests.support.programs import require_program
from tests.support.redis_server import redis_server
from tests.support.waiting import eventually, eventually_true

DEPLOY = ROOT / "deploy"
HUBS = 3

NGINX_AROUND = """
daemon off;
worker_processes 1;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Hubs behind a proxy."""

    hubs: list[Running]
    url: str
    internal_url: str
    certificate: LocalCertificate | None
    proxy: RunningProcess

    def connect(self, **options: Any) -> connect:
        """A client of the WebSocket endpoint."""
        uri = self.url.replace("http", "ws", 1) + "/connection/websocket"
        if self.certificate is None:
            return connect(uri, proxy=None, **options)
        return connect(uri, ssl=self.certificate.client_context(), host="127.0.0.1", proxy=None, **options)

    def http(self) -> httpx.AsyncClient:
        """A client of everything else."""
        verify: Any = True if self.certificate is None else self.certificate.client_context()
        return httpx.AsyncClient(base_url=self.url, verify=verify, trust_env=False)


def replaced(text: str, old: str, new: str, count: int = 1) -> str:
    """``text`` with ``old`` replaced, which has to be there so many times."""
    assert text.count(old) == count, (old, text.count(old))
    return text.replace(old, new)


@contextlib.asynccontextmanager
async def hubs(overrides: Mapping[str, Any]) -> AsyncIterator[list[Running]]:
    """As many as the files name, each with an internal port."""
    async with contextlib.AsyncExitStack() as stack:
        told = {"http.trusted_proxies": ["127.0.0.1/32"], "internal.port": 0, **overrides}
        yield [await stack.enter_async_context(running_hub(told)) for _ in range(HUBS)]


@contextlib.asynccontextmanager
async def behind_haproxy(folder: Path, *, timeout: str = "60s", **overrides: Any) -> AsyncIterator[Site]:
    """deploy/haproxy/haproxy.cfg."""
    async with hubs({name.replace("__", "."): value for name, value in overrides.items()}) as started:
        public, internal = free_port(), free_port()
        text = (DEPLOY / "haproxy/haproxy.cfg").read_text(encoding="utf-8")
        text = replaced(text, "bind :8080\n", f"bind 127.0.0.1:{public}\n")
        text = replaced(text, "bind :8081\n", f"bind 127.0.0.1:{internal}\n")
        # As many as this machine lets one process open.
        text = replaced(text, "maxconn 60000\n", "maxconn 256\n")
        text = replaced(text, "inter 2s", "inter 200ms", 2)
        text = replaced(text, "timeout tunnel 60s", f"timeout tunnel {timeout}")
        for number, hub in enumerate(started):
            assert hub.hub is not None
            ports = [url.rpartition(":")[2] for url in hub.hub.urls]
            text = replaced(text, f" hub{number}:8000\n", f" 127.0.0.1:{ports[0]}\n")
            text = replaced(text, f" hub{number}:9000\n", f" 127.0.0.1:{ports[1]}\n")
        config = folder / "haproxy.cfg"
        config.write_text(text, encoding="utf-8")
        command = [require_program("haproxy"), "-db", "-f", str(config)]
        async with running(command, log_path=folder / "haproxy.log", port=public) as proxy:
            yield Site(started, f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}", None, proxy)


@contextlib.asynccontextmanager
async def behind_nginx(folder: Path, *, timeout: str = "60s", **overrides: Any) -> AsyncIterator[Site]:
    """deploy/nginx/hub.conf."""
    async with hubs({name.replace("__", "."): value for name, value in overrides.items()}) as started:
        port = free_port()
        certificate = make_certificate(folder)
        text = (DEPLOY / "nginx/hub.conf").read_text(encoding="utf-8")
        text = replaced(text, "listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
        text = replaced(text, "/etc/ssl/hub.pem", str(certificate.certfile))
        text = replaced(text, "/etc/ssl/hub.key", str(certificate.keyfile))
        text = replaced(text, "proxy_read_timeout 60s;", f"proxy_read_timeout {timeout};")
        for number, hub in enumerate(started):
            text = replaced(text, f"hub{number}:8000", hub.url.removeprefix("http://"))
        config = folder / "nginx.conf"
        config.write_text(NGINX_AROUND.format(folder=folder, server=text), encoding="utf-8")
        command = [require_program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)]
        async with running(command, log_path=folder / "nginx.log", port=port) as proxy:
            yield Site(started, f"https://localhost:{port}", "", certificate, proxy)


SITES = {"haproxy": behind_haproxy, "nginx": behind_nginx}
every_proxy = pytest.mark.parametrize("kind", sorted(SITES))


async def greet(socket: ClientConnection) -> str:
    """Connect as a user; the client id."""
    token = issue_connection_token(TokenSigner.from_secret(SECRET), "7", exp_s=int(time.time()) + 600)
    await socket.send(json.dumps({"id": 1, "connect": {"token": token}}))
    answer = await socket.recv()
    assert '"connect"' in str(answer)
    return str(answer)


def counts(site: Site) -> list[int]:
    """Connections of each hub."""
    return [len(hub.hub.node.registry) for hub in site.hubs if hub.hub is not None]


@every_proxy
async def test_clients_reach_hubs_and_are_spread_over_them(kind: str, tmp_path: Path) -> None:
    """Upgrade headers pass, whoever has the fewest gets the next one."""
    async with SITES[kind](tmp_path) as site, contextlib.AsyncExitStack() as stack:
        for _ in range(2 * HUBS):
            await greet(await stack.enter_async_context(site.connect()))
        assert counts(site) == [2] * HUBS


@every_proxy
async def test_the_client_is_whoever_connected_and_not_who_it_says(kind: str, tmp_path: Path) -> None:
    """The proxy writes the address that it saw over whatever the client claims."""
    async with SITES[kind](tmp_path) as site:
        claims = {"X-Forwarded-For": "203.0.113.9"}
        async with site.connect(local_addr=("127.0.0.5", 0), additional_headers=claims) as socket:
            await greet(socket)
            found = [each.client_ip for hub in site.hubs if hub.hub for each in hub.hub.node.registry]  # type: ignore[attr-defined]
            assert found == ["127.0.0.5"]


@every_proxy
async def test_only_what_is_public_can_be_reached(kind: str, tmp_path: Path) -> None:
    """Whatever key somebody has: what is for operators is not behind this port."""
    async with SITES[kind](tmp_path) as site, site.http() as http:
        assert (await http.get("/health")).status_code == 200
        key = {"X-API-Key": API_KEY}
        for path in ("/api/info", "/metrics", "/console", "/console/", "/", "/connection/other"):
            assert (await http.get(path, headers=key)).status_code == 404, path
            assert (await http.post(path, headers=key)).status_code == 404, path


async def test_backends_have_a_way_of_their_own(tmp_path: Path) -> None:
    """The other frontend of HAProxy leads to the internal ports."""
    async with behind_haproxy(tmp_path) as site:
        async with httpx.AsyncClient(base_url=site.internal_url, trust_env=False) as http:
            answer = await http.post("/api/info", json={}, headers={"X-API-Key": API_KEY})
            assert "result" in answer.json()
            assert (await http.get("/health/ready")).json()["phase"] == "started"


class _Names(asyncio.DatagramProtocol):
    """A name server for addresses (RFC 1035). Whoever is not in ``known`` does not exist."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        length = data[12]
        address = self._known.get(data[13 : 13 + length].decode())
        question = data[12 : 12 + length + 6]
        wants_ipv4 = question[-4:-2] == b"\0\1"
        answers = int(address is not None and wants_ipv4)
        flags = 0x8180 if address is not None else 0x8183
        answer = data[:2] + struct.pack("!5H", flags, 1, answers, 0, 0) + question
        if answers:
            answer += struct.pack("!3HIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(str(address))
        self._transport.sendto(answer, addr)


async def test_a_hub_that_gets_another_address_is_found_again(tmp_path: Path) -> None:
    """As a container that is replaced; and those that have none at the start keep nobody from starting."""
    known = {"hub0": "127.0.0.2"}
    loop = asyncio.get_running_loop()
    names, _ = await loop.create_datagram_endpoint(lambda: _Names(known), local_addr=("127.0.0.1", 0))
    public, internal = free_port(), free_port()
    text = (DEPLOY / "haproxy/haproxy.cfg").read_text(encoding="utf-8")
    server = f"nameserver test 127.0.0.1:{names.get_extra_info('sockname')[1]}"
    text = replaced(text, "parse-resolv-conf", server)
    # The name server of this machine may take its time.
    text = replaced(text, "init-addr libc,none", "init-addr none", 2)
    text = replaced(text, "bind :8080\n", f"bind 127.0.0.1:{public}\n")
    text = replaced(text, "bind :8081\n", f"bind 127.0.0.1:{internal}\n")
    text = replaced(text, "maxconn 60000\n", "maxconn 256\n")
    text = replaced(text, "inter 2s", "inter 200ms", 2)
    config = tmp_path / "haproxy.cfg"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{public}", trust_env=False) as http:

        async def is_served() -> bool:
            return (await http.get("/health")).status_code == 200

        async with contextlib.AsyncExitStack() as stack:
            stack.callback(names.close)
            async with running_hub({"http.host": known["hub0"]}) as first:
                port = int(first.url.rpartition(":")[2])
                config.write_text(text.replace(":8000\n", f":{port}\n"), encoding="utf-8")
                command = [require_program("haproxy"), "-db", "-f", str(config)]
                await stack.enter_async_context(
                    running(command, log_path=tmp_path / "haproxy.log", port=public)
                )
                await eventually_true(is_served, 10)
            known["hub0"] = "127.0.0.3"
            async with running_hub({"http.host": known["hub0"], "http.port": port}):
                await eventually_true(is_served, 15)


@every_proxy
async def test_pings_keep_a_silent_connection(kind: str, tmp_path: Path) -> None:
    """A client that only answers pings outlives the idle timeout by far; scaled to a ping a second."""
    async with SITES[kind](tmp_path, timeout="2s", ping__interval_s=1, ping__pong_timeout_s=0.9) as site:
        async with site.connect() as socket:
            await greet(socket)
            for _ in range(4):
                async with asyncio.timeout(5):
                    assert await socket.recv() == "{}"
                await socket.send("{}")
            assert sum(counts(site)) == 1


@every_proxy
async def test_without_pings_it_would_be_cut(kind: str, tmp_path: Path) -> None:
    """Which is what the timeouts of the files are compared with."""
    async with SITES[kind](tmp_path, timeout="1s", ping__interval_s=30) as site, site.connect() as socket:
        await greet(socket)
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        await eventually(lambda: sum(counts(site)) == 0)


@every_proxy
async def test_a_hub_that_ends_hands_its_clients_to_the_others(kind: str, tmp_path: Path) -> None:
    """Its clients are told to come back, and whoever comes is taken by a hub that stays."""
    async with SITES[kind](tmp_path, shutdown__ready_wait_s=0) as site, contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(site.connect()) for _ in range(HUBS)]
        for socket in sockets:
            await greet(socket)
        leaving = site.hubs[0].hub
        assert leaving is not None
        await leaving.stop()
        gone = 0
        for socket in sockets:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await socket.wait_closed()
                assert socket.close_code == 3001
                gone += 1
        assert gone == 1
        for _ in range(4):
            await greet(await stack.enter_async_context(site.connect()))
        assert counts(site)[1:] == [3, 3]


def test_idle_timeouts_are_longer_than_the_pings() -> None:
    """Those of the files against the default of the settings, with room for a ping that is lost."""
    interval_s = settings_of().ping.interval_s
    haproxy = (DEPLOY / "haproxy/haproxy.cfg").read_text(encoding="utf-8")
    nginx = (DEPLOY / "nginx/hub.conf").read_text(encoding="utf-8")
    told = re.findall(r"timeout (?:client|server|tunnel) +(\d+)s", haproxy)
    told += re.findall(r"proxy_(?:read|send)_timeout (\d+)s", nginx)
    assert len(told) == 5
    assert min(map(int, told)) > 2 * interval_s


async def test_the_doctor_has_nothing_against_the_redis_of_the_example(tmp_path: Path) -> None:
    """deploy/redis/redis.conf, in a real server."""
    lines = (DEPLOY / "redis/redis.conf").read_text(encoding="utf-8").splitlines()
    settings: list[str] = []
    for line in lines:
        if line and not line.startswith("#"):
            name, value = line.split(" ", 1)
            settings += [f"--{name}", value.strip('"')]
    async with redis_server(tmp_path / "redis", settings=settings) as server:
        findings = await all_of(check_redis(settings_of(redis__url=server.url)))
    assert bad(findings) == []
