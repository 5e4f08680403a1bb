"""A provider that takes everything at once: nginx with HTTP/2, on the cores of the clients.

It answers as APNs, FCM and Google's token endpoint answer when all is well, so that what is
measured is the sending side. Certificate and credentials are made for one run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.support import cores
from hub.testing.simulators.fcm.oauth import new_service_account
from tests.support.certificates import make_certificate

PROJECT = "bench"
APP = "com.example.bench"
KEY_ID = "ABCDE12345"
TEAM_ID = "FGHIJ67890"

_START_TIMEOUT_S = 10.0

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    http2_max_concurrent_streams 1000;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location /3/device/ {{ add_header apns-id $http_apns_id; return 200; }}
        location = /token {{
            return 200 '{{"access_token":"bench","expires_in":3600,"token_type":"Bearer"}}';
        }}
        location /v1/ {{ return 200 '{{"name":"projects/bench/messages/1"}}'; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Sink:
    """Where it listens, and what a client needs to speak to it."""

    port: int
    ca_file: str
    apns_key_file: str
    service_account_file: str

    @property
    def url(self) -> str:
        """Of either provider."""
        return f"https://localhost:{self.port}"


@contextlib.contextmanager
def running_sink() -> Iterator[Sink]:
    """A sink for the length of the block.

    Raises:
        RuntimeError: nginx is not there or does not start.
    """
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise RuntimeError("this benchmark needs nginx: it is the fastest HTTP/2 server to send to")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sink = _prepare(folder)
        process = subprocess.Popen([nginx, "-p", name, "-c", str(folder / "nginx.conf")])
        os.sched_setaffinity(process.pid, cores()[1])
        try:
            _await_port(sink.port, process, folder)
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.sched_setaffinity(int(child), cores()[1])
            yield sink
        finally:
            process.terminate()
            process.wait()


def _prepare(folder: Path) -> Sink:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    certificate = make_certificate(folder)
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    apns_key_file, account_file = folder / "apns.p8", folder / "account.json"
    apns_key_file.write_bytes(key)
    account = new_service_account(PROJECT).file(f"https://localhost:{port}/token")
    account_file.write_text(json.dumps(account))
    text = _CONFIGURATION.format(
        folder=folder, port=port, certificate=certificate.certfile, key=certificate.keyfile
    )
    (folder / "nginx.conf").write_text(text)
    return Sink(port, str(certificate.certfile), str(apns_key_file), str(account_file))


def _await_port(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    ends_at_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > ends_at_s:
            raise RuntimeError(f"nginx does not start: {(folder / 'error.log').read_text()[-500:]}")
        time.sleep(0.01)
