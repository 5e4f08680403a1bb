"""The front door behind real proxies: nginx and HAProxy, started here with the configurations people use."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from hub.transport.options import TlsFiles
from hub.transport.peer import TrustedProxies
from tests.support.certificates import make_certificate
from tests.support.hub_server import Served, parsed, serving
from tests.support.processes import free_port, running
from tests.support.programs import require_program
from tests.support.raw_client import CLOSE, TEXT, RawClient, client_frame, close_payload
from tests.support.waiting import eventually

LOCAL = TrustedProxies(["127.0.0.0/8"])
STRANGERS = TrustedProxies(["192.0.2.0/24"])
CLAIM = {"X-Forwarded-For": "203.0.113.9"}

NGINX = """
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
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream hub {{ server 127.0.0.1:{hub_port}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{
            proxy_pass {scheme}://hub;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 60s;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 256
defaults
    mode {mode}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
{http_options}
frontend public
    bind 127.0.0.1:{port}{tls}
    default_backend hub
backend hub
    server hub 127.0.0.1:{hub_port} {server_options}
"""
HAPROXY_HTTP = """    http-reuse always
    option forwardfor
    option http-keep-alive"""


@dataclass(frozen=True, slots=True)
class Proxied:
    """A hub server with a proxy before it."""

    hub: Served
    address: tuple[str, int]

    def uri(self, scheme: str = "ws") -> str:
        host = "localhost" if scheme == "wss" else self.address[0]
        return f"{scheme}://{host}:{self.address[1]}/connection/websocket"


@contextlib.asynccontextmanager
async def behind_nginx(
    folder: Path, *, trusted: TrustedProxies = LOCAL, tls: Path | None = None, hub_tls: TlsFiles | None = None
) -> AsyncIterator[Proxied]:
    program = require_program("nginx")
    async with serving(trusted_proxies=trusted, server_options={"tls": hub_tls}) as hub:
        port = free_port()
        certificate = f" ssl;\n ssl_certificate {tls};\n ssl_certificate_key {tls}" if tls else ""
        config = folder / "nginx.conf"
        config.write_text(
            NGINX.format(
                folder=folder,
                port=port,
                hub_port=hub.address[1],
                tls=certificate,
                scheme="https" if hub_tls else "http",
            )
        )
        command = [program, "-p", str(folder), "-e", "stderr", "-c", str(config)]
        async with running(command, log_path=folder / "nginx.log", port=port):
            yield Proxied(hub, ("127.0.0.1", port))


@contextlib.asynccontextmanager
async def behind_haproxy(
    folder: Path,
    *,
    trusted: TrustedProxies = LOCAL,
    mode: str = "http",
    server_options: str = "",
    tls: Path | None = None,
) -> AsyncIterator[Proxied]:
    program = require_program("haproxy")
    async with serving(trusted_proxies=trusted) as hub:
        port = free_port()
        config = folder / "haproxy.cfg"
        config.write_text(
            HAPROXY.format(
                mode=mode,
                port=port,
                hub_port=hub.address[1],
                tls=f" ssl crt {tls}" if tls else "",
                http_options=HAPROXY_HTTP if mode == "http" else "",
                server_options=server_options,
            )
        )
        async with running([program, "-db", "-f", str(config)], log_path=folder / "haproxy.log", port=port):
            yield Proxied(hub, ("127.0.0.1", port))


async def exchange(client: RawClient) -> None:
    """One message there and back, then a clean end from the client."""
    client.send(client_frame(TEXT, b"hello"))
    assert await client.read_frame() == (TEXT, b"hello")
    client.send(client_frame(CLOSE, close_payload(1000)))
    assert (await client.read_close())[0] == 1000
    assert await client.read_to_end() == b""


class TestNginx:
    """As its own documentation proxies WebSockets, with kept upstream connections."""

    async def test_health_checks_and_upgrades_share_upstream_connections(self, tmp_path: Path) -> None:
        """The upgrade comes over a connection that has served requests before."""
        async with behind_nginx(tmp_path) as proxied:
            for _ in range(3):
                async with await RawClient.connect(proxied.address) as client:
                    assert (await client.get("/health")).status == 200
            assert proxied.hub.server.accepted_count == 1, "nginx did not keep its connection"
            async with await RawClient.connect(proxied.address) as client:
                await client.upgrade()
                assert proxied.hub.server.accepted_count == 1, "the upgrade came over a new connection"
                await exchange(client)
            await eventually(proxied.hub.is_empty)

    async def test_many_rounds_of_checks_and_upgrades(self, tmp_path: Path) -> None:
        """Each WebSocket takes a kept connection away, each check leaves one."""
        async with behind_nginx(tmp_path) as proxied:
            for _ in range(10):
                async with await RawClient.connect(proxied.address) as check:
                    assert (await check.get("/health")).status == 200
                async with await RawClient.connect(proxied.address) as client:
                    await client.upgrade()
                    await exchange(client)
            assert len(proxied.hub.acceptor.connections) == 10
            assert proxied.hub.server.accepted_count == 10
            await eventually(lambda: proxied.hub.server.links == 0)

    async def test_its_forwarded_for_is_believed_when_it_is_trusted(self, tmp_path: Path) -> None:
        """It appends the address it saw, and the client's own claim stands left of that."""
        async with behind_nginx(tmp_path) as proxied, await RawClient.connect(proxied.address) as client:
            assert parsed((await client.get("/who")).body)["client"] == "127.0.0.1"
            await client.upgrade(headers=CLAIM)
            # 127.0.0.1 is trusted here, hence a proxy, hence what it was told counts.
            assert proxied.hub.acceptor.only.upgrade.client_ip == "203.0.113.9"

    async def test_its_forwarded_for_is_ignored_when_it_is_not(self, tmp_path: Path) -> None:
        """Then the proxy itself is the client."""
        async with (
            behind_nginx(tmp_path, trusted=STRANGERS) as proxied,
            await RawClient.connect(proxied.address) as client,
        ):
            assert parsed((await client.get("/who", CLAIM)).body)["client"] == "127.0.0.1"
            await client.upgrade(headers=CLAIM)
            assert proxied.hub.acceptor.only.upgrade.client_ip == "127.0.0.1"

    async def test_tls_at_the_proxy(self, tmp_path: Path) -> None:
        """The usual arrangement; the application learns the true scheme."""
        certificate = make_certificate(tmp_path)
        context = certificate.client_context()
        async with behind_nginx(tmp_path, tls=certificate.bundle) as proxied:
            async with await RawClient.connect(proxied.address, tls=context) as client:
                assert parsed((await client.get("/who")).body)["scheme"] == "https"
            async with connect(proxied.uri("wss"), ssl=context, host="127.0.0.1", proxy=None) as phone:
                await phone.send("over TLS")
                assert await phone.recv() == "over TLS"

    async def test_tls_between_proxy_and_hub(self, tmp_path: Path) -> None:
        """Requests and upgrades on kept TLS connections."""
        certificate = make_certificate(tmp_path)
        tls = TlsFiles(str(certificate.certfile), str(certificate.keyfile))
        async with behind_nginx(tmp_path, hub_tls=tls) as proxied:
            async with await RawClient.connect(proxied.address) as client:
                assert (await client.get("/health")).status == 200
            async with await RawClient.connect(proxied.address) as client:
                await client.upgrade()
                assert proxied.hub.server.accepted_count == 1
                await exchange(client)

    async def test_a_close_by_the_hub_reaches_the_client(self, tmp_path: Path) -> None:
        """Code and reason pass, and nothing stays at the hub."""
        async with behind_nginx(tmp_path) as proxied, await RawClient.connect(proxied.address) as client:
            await client.upgrade()
            proxied.hub.acceptor.only.link.close(3001, "shutdown")
            assert await client.read_close() == (3001, "shutdown")
            client.send(client_frame(CLOSE, close_payload(3001)))
            assert await client.read_to_end() == b""
            await eventually(proxied.hub.is_empty)


class TestHaproxy:
    """In HTTP mode with reuse, and in TCP mode with the PROXY protocol."""

    async def test_health_checks_and_upgrades_share_server_connections(self, tmp_path: Path) -> None:
        """``http-reuse always``: requests of other clients come first on the same connection."""
        async with behind_haproxy(tmp_path) as proxied:
            for _ in range(3):
                async with await RawClient.connect(proxied.address) as client:
                    assert (await client.get("/health")).status == 200
            assert proxied.hub.server.accepted_count == 1, "HAProxy did not keep its connection"
            async with await RawClient.connect(proxied.address) as client:
                await client.upgrade()
                assert proxied.hub.server.accepted_count == 1, "the upgrade came over a new connection"
                await exchange(client)
            await eventually(proxied.hub.is_empty)

    async def test_its_forwarded_for_counts_only_when_it_is_trusted(self, tmp_path: Path) -> None:
        """``option forwardfor`` adds a header of its own behind the client's."""
        async with behind_haproxy(tmp_path) as proxied, await RawClient.connect(proxied.address) as client:
            await client.upgrade(headers=CLAIM)
            assert proxied.hub.acceptor.only.upgrade.client_ip == "203.0.113.9"

    async def test_and_not_when_it_is_a_stranger(self, tmp_path: Path) -> None:
        """Then the proxy itself is the client."""
        async with (
            behind_haproxy(tmp_path, trusted=STRANGERS) as proxied,
            await RawClient.connect(proxied.address) as client,
        ):
            await client.upgrade(headers=CLAIM)
            assert proxied.hub.acceptor.only.upgrade.client_ip == "127.0.0.1"

    @pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
    @pytest.mark.parametrize("mode", ["tcp", "http"])
    async def test_the_proxy_protocol_of_a_trusted_peer(self, tmp_path: Path, mode: str, header: str) -> None:
        """Requests and WebSockets pass, and the client is the one of the header."""
        async with behind_haproxy(tmp_path, mode=mode, server_options=header) as proxied:
            async with await RawClient.connect(proxied.address) as client:
                assert parsed((await client.get("/who")).body)["client"] == "127.0.0.1"
                await client.upgrade()
                await exchange(client)
            assert proxied.hub.acceptor.only.upgrade.client_ip == "127.0.0.1"

    @pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
    async def test_the_proxy_protocol_of_a_stranger(self, tmp_path: Path, header: str) -> None:
        """Is not understood as anything: the connection is turned away."""
        async with (
            behind_haproxy(tmp_path, trusted=STRANGERS, mode="tcp", server_options=header) as proxied,
            await RawClient.connect(proxied.address) as client,
        ):
            assert (await client.get("/who")).status == 400
            assert proxied.hub.acceptor.connections == []

    @pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
    async def test_the_header_names_the_client_and_not_the_proxy(self, tmp_path: Path, header: str) -> None:
        """Two proxies in a row: the first names a far client, the second passes it on."""
        async with behind_haproxy(tmp_path, mode="tcp", server_options=header) as proxied:
            config = tmp_path / "haproxy.cfg"
            outer_port = free_port()
            outer = tmp_path / "outer.cfg"
            outer.write_text(
                config.read_text().replace(
                    f"127.0.0.1:{proxied.address[1]}", f"127.0.0.1:{outer_port} accept-proxy"
                )
            )
            command = [require_program("haproxy"), "-db", "-f", str(outer)]
            async with (
                running(command, log_path=tmp_path / "outer.log", port=outer_port),
                await RawClient.connect(("127.0.0.1", outer_port)) as client,
            ):
                client.send(b"PROXY TCP4 203.0.113.9 198.51.100.1 5000 80\r\n")
                await client.upgrade()
                assert proxied.hub.acceptor.only.upgrade.client_ip == "203.0.113.9"
                await exchange(client)

    async def test_tls_at_the_proxy(self, tmp_path: Path) -> None:
        """Together with the PROXY protocol towards the hub."""
        certificate = make_certificate(tmp_path)
        context = certificate.client_context()
        async with behind_haproxy(
            tmp_path, mode="tcp", server_options="send-proxy-v2", tls=certificate.bundle
        ) as proxied:
            async with connect(proxied.uri("wss"), ssl=context, host="127.0.0.1", proxy=None) as phone:
                await phone.send("over TLS")
                assert await phone.recv() == "over TLS"
