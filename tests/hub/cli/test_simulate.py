"""``hub simulate providers`` as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from hub.testing.simulators.fcm.oauth import GRANT, service_account_of
from tests.support.command_line import ROOT, run_hub


@contextmanager
def running(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The command, started on any ports."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hub", "simulate", "providers", "--port", "0", *more]
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> Any:
    """The next line, parsed."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_pushes_are_printed_and_a_signal_ends_it(tmp_path: Path) -> None:
    """One object a line, no token in any."""
    with running(tmp_path, "--json", "--dir", "kept") as process:
        ready = line_of(process)
        assert ready["ready"] is True
        context = ssl.create_default_context(cafile=ready["apps"][1]["ca_file"])
        account = json.loads((tmp_path / "kept" / "service-account.json").read_text())
        assert account["token_uri"] == ready["fcm"] + "/token"
        refused = httpx.post(f"{ready['fcm']}/v1/projects/x/messages:send", verify=context)
        assert refused.status_code == 401
        token = _access_token(account, context)
        sent = httpx.post(
            f"{ready['fcm']}/v1/projects/simulated-project/messages:send",
            json={"message": {"token": "a-secret-token", "data": {"a": "b"}}},
            headers={"authorization": f"Bearer {token}"},
            verify=context,
        )
        assert sent.status_code == 200
        printed = line_of(process)["push"]
        assert printed["body"]["message"]["data"] == {"a": "b"}
        assert "a-secret-token" not in json.dumps(printed)
        listed = httpx.get(f"{ready['control']}/pushes").json()["pushes"]
        assert listed == [printed]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def _access_token(account: dict[str, Any], context: ssl.SSLContext) -> str:
    assertion = service_account_of(account).assertion(account["token_uri"], time.time())
    form = {"grant_type": GRANT, "assertion": assertion}
    answer = httpx.post(account["token_uri"], data=form, verify=context)
    return str(answer.json()["access_token"])


def test_a_temporary_directory_goes_with_it(tmp_path: Path) -> None:
    """Nothing secret stays on the disk."""
    with running(tmp_path, "--json") as process:
        folder = Path(line_of(process)["directory"])
        assert (folder / "vapid.pem").is_file()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not folder.exists()


def test_other_machines_are_not_served(tmp_path: Path) -> None:
    """Its keys protect nothing."""
    done = run_hub("simulate", "providers", "--host", "0.0.0.0", cwd=tmp_path)
    assert done.code == 2
    assert "this machine only" in done.err


def test_the_settings_can_be_pasted(tmp_path: Path) -> None:
    """They are a part of what is printed for people."""
    with running(tmp_path, "--app", "org.example.chat") as process:
        assert process.stdout is not None
        lines = []
        while "Ctrl-C" not in (line := process.stdout.readline()):
            lines.append(line)
        assert lines.count("[[push.apps]]\n") == 3
        assert 'name = "org.example.chat"\n' in lines


def test_what_keeps_it_from_starting_is_named(tmp_path: Path) -> None:
    """The port and the flag that takes another; the directory that cannot be."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - 3
        done = run_hub("simulate", "providers", "--dir", "s", "--port", str(port), cwd=tmp_path)
    assert done.code == 1
    assert f"one of {port} to {port + 3}" in done.err
    assert "--port" in done.err
    (tmp_path / "file").touch()
    done = run_hub("simulate", "providers", "--dir", "file/s", "--port", "0", cwd=tmp_path)
    assert done.code == 1
    assert "file/s" in done.err
