"""The tour of the README, pasted: its blocks run as they stand, against hubs of a directory of their own.

Only what the tour cannot know is put in its place: the port, and where the package is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

from hub.auth import TokenSigner
from tests.support.command_line import run_hub
from tests.support.js_client import DIRECTORY as INSTALLED_SDK
from tests.support.js_client import SdkMissing
from tests.support.markdown import ROOT, Page
from tests.support.processes import free_port
from tests.support.programs import require_program

README = Page(ROOT / "README.md")
STEPS = {
    block.label.removeprefix("tour: "): block.text
    for block in README.blocks("sh")
    if block.label.startswith("tour: ")
}
TIMEOUT_S = 20.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Program:
    """A program in the background whose lines can be waited for."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def line(self, pattern: str) -> str:
        """The next line that holds ``pattern``.

        Raises:
            AssertionError: when the program ends, or does not print one in time.
        """
        assert self._process.stdout is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while read := await self._process.stdout.readline():
                    self.lines.append(read.decode().rstrip())
                    if re.search(pattern, self.lines[-1]):
                        return self.lines[-1]
        raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.lines))

    async def stop(self) -> None:
        """As Ctrl-C does. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.communicate()


@dataclass
class Tour:
    """Somebody who follows the README in a checkout, on ports of the test's own."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {"8000": free_port(), "8001": free_port()})
    programs: list[Program] = field(default_factory=list)

    def prepare(self) -> None:
        """A checkout with everything installed that ``make run`` and ``npm ci`` install."""
        sdk = INSTALLED_SDK / "node_modules"
        if not (sdk / "centrifuge" / "package.json").is_file():
            raise SdkMissing("run `make test`, or `npm ci --ignore-scripts` in tests/sdk/js")
        shutil.copytree(
            ROOT / "examples", self.folder / "examples", ignore=shutil.ignore_patterns("node_modules")
        )
        (self.folder / "examples/node/node_modules").symlink_to(sdk)
        binaries = self.folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        python = shlex.quote(sys.executable)
        path = f"PYTHONPATH={shlex.quote(str(ROOT))}"
        for name, command in (("hub", f"{path} exec {python} -m hub"), ("python", f"exec {python}")):
            (binaries / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
            (binaries / name).chmod(0o755)

    def text(self, step: str) -> str:
        """A block of the tour, with our ports."""
        text = STEPS[step]
        for port, ours in self.ports.items():
            text = text.replace(f":{port}/", f":{ours}/").replace(f"--port {port}", f"--port {ours}")
        if re.search("hub (publish|notify|trace)", text):
            # The command takes the address of a development hub from its settings; ours is on another port.
            text = f"export HUB_URL=http://127.0.0.1:{self.ports['8000']}\n{text}"
        if "listen.mjs" in text or "resume.mjs" in text:
            text = f": ${{WS_URL:={self.ws_url}}}; export WS_URL\n{text}"
        return text

    @property
    def ws_url(self) -> str:
        """Where the first hub takes WebSockets."""
        return f"ws://127.0.0.1:{self.ports['8000']}/connection/websocket"

    async def _process(self, *command: str) -> asyncio.subprocess.Process:
        environment = {"PATH": f"{Path(require_program('node')).parent}:/usr/local/bin:/usr/bin:/bin"}
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def start(self, *command: str) -> Program:
        """Run a program in the background."""
        program = Program(await self._process(*command))
        self.programs.append(program)
        return program

    async def begin(self, step: str) -> Program:
        """Paste a block whose last line keeps running."""
        *before, last = self.text(step).strip().splitlines()
        # Replacing the shell, so that stopping it stops the program.
        assignments, _, program = last.rpartition(" node ") if " node " in last else ("", "", "")
        last = (
            f"{assignments} exec node {program}" if program else re.sub(r"^((?:\w+=\S+ )*)", r"\1exec ", last)
        )
        return await self.start("sh", "-c", "\n".join([*before, last]))

    async def paste(self, text: str) -> str:
        """Paste something that ends; what it printed."""
        process = await self._process("sh", "-ec", text)
        async with asyncio.timeout(TIMEOUT_S):
            out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tour(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tour]:
    """A tour whose first step is done."""
    made = Tour(tmp_path_factory.mktemp("tour"))
    made.prepare()
    try:
        yield made
    finally:
        for program in made.programs:
            await program.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def started(tour: Tour) -> Program:
    """The hub of ``make run``; what it printed up to the line that publishes is in ``lines``."""
    recipe = re.search(r"^run:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    command = shlex.split(recipe[1].replace("$(VENV)", ".venv"))
    hub = await tour.start(*command, "--port", str(tour.ports["8000"]))
    await hub.line("^curl ")
    return hub


async def test_the_tour_has_these_steps() -> None:
    """A block that no test runs would rot."""
    assert list(STEPS) == [
        "run",
        "install",
        "listen",
        "publish",
        "resume",
        "missed",
        "own-secret",
        "own-token",
        "look",
        "notify",
        "trace",
    ]
    assert STEPS["run"] == "make run\n"
    assert STEPS["install"] == "npm ci --prefix examples/node\n"


async def test_the_listing_is_the_example() -> None:
    """What the README shows is what the files hold."""
    shown = [block.text for language in ("js", "python", "toml") for block in README.blocks(language)]
    listener, issuer, django, settings = shown
    assert listener == (ROOT / "examples/node/listen.mjs").read_text()
    assert len(listener.splitlines()) <= 15
    assert issuer == (ROOT / "examples/python/issue_token.py").read_text()
    assert django in (ROOT / "examples/django/settings.py").read_text()
    assert settings in (ROOT / "examples/django/hub.toml").read_text()


async def test_the_example_installs_what_the_tests_ran() -> None:
    """The same versions of the same packages, so that this tour is the reader's."""
    ours, tested = (
        json.loads((folder / "package-lock.json").read_text())["packages"]
        for folder in (ROOT / "examples/node", INSTALLED_SDK)
    )
    installed = json.loads((INSTALLED_SDK / "node_modules/centrifuge/package.json").read_text())
    assert {name: package for name, package in ours.items() if name} == {
        name: package for name, package in tested.items() if name
    }
    assert ours["node_modules/centrifuge"]["version"] == installed["version"]


async def test_listening_and_publishing(tour: Tour, started: Program) -> None:
    """Steps 1 to 3: the line that ``make run`` printed, and the command line, both reach the listener."""
    listener = await tour.begin("listen")
    await listener.line("^subscribed at offset 0$")
    await tour.paste(next(line for line in started.lines if line.startswith("curl ")))
    await listener.line(r'^1 {"text":"hello"}$')
    assert "published to news at offset 2" in await tour.paste(tour.text("publish"))
    await listener.line(r'^2 {"text":"hello from the command line"}$')
    await listener.stop()


async def test_resuming(tour: Tour, started: Program) -> None:
    """Step 4: what was published while nobody listened comes at the next start, once and in order."""
    first = await tour.begin("resume")
    await first.line("^subscribed for the first time$")
    await tour.paste(tour.text("publish"))
    await first.line("from the command line")
    await first.stop()
    await tour.paste(tour.text("missed"))
    second = await tour.begin("resume")
    await second.line("^resumed, complete: true$")
    away = await second.line("you were away")
    still = await second.line("and still are")
    await second.stop()
    assert int(still.split()[0]) == int(away.split()[0]) + 1
    assert len(second.lines) == 3


async def test_the_browser_page(tour: Tour, started: Program) -> None:
    """Connect, cut, publish, connect: the page shows what it missed."""
    page = tour.folder / "examples/browser/index.html"
    source = re.search(r'<script src="([^"]+)"', page.read_text())
    assert source is not None
    shutil.copy(ROOT / "tests/system/browser_page.mjs", tour.folder / "examples/node/browser_page.mjs")
    token = (await tour.paste(".venv/bin/hub token create --user demo")).strip()
    browser = await tour.start(
        "node", "examples/node/browser_page.mjs", str(page), str(page.parent / source[1]), tour.ws_url, token
    )
    browser.say("connect")
    await browser.line("^subscribed to news$")
    browser.say("cut")
    await browser.line("^disconnected: 0")
    await tour.paste(tour.text("missed"))
    browser.say("connect")
    await browser.line("^resumed, complete: true$")
    await browser.line("you were away")
    await browser.line("and still are")
    await browser.stop()


async def test_tokens_of_ones_own(tour: Tour) -> None:
    """Step 5: a hub with the secret of an API takes what the example signs."""
    other = await tour.begin("own-secret")
    await other.line("^curl ")
    listener = await tour.begin("own-token")
    await listener.line("^valid: signature and claims are in order$")
    await listener.line("^subscribed at offset 0$")
    await listener.stop()
    await other.stop()


async def test_looking_around(tour: Tour, started: Program) -> None:
    """Step 6: history, presence and connections, with the key of the development hub."""
    printed = await tour.paste(tour.text("look"))
    history, presence, connections = re.findall(r'\{"result":.*?\}(?=\{"result"|\Z)', printed.strip())
    assert json.loads(history)["result"]["publications"]
    assert json.loads(presence) == {"result": {"presence": {}}}
    assert json.loads(connections) == {"result": {"connections": {}}}


async def test_notifying_a_phone(tour: Tour, started: Program) -> None:
    """Step 7: the hub writes down what it would push, and the trace tells how it came to that."""
    printed = await tour.paste(tour.text("notify"))
    assert '"registered":true' in printed
    assert "notified 1 user: first" in printed
    await started.line('would push .*"title":"Anna"')
    async with asyncio.timeout(TIMEOUT_S):
        while "pushed" not in (trace := await tour.paste(tour.text("trace"))):
            pass
    device, *steps = trace.strip().splitlines()
    assert device == "demo  my-first-test-phone"
    assert [step.split()[1] for step in steps] == ["accepted", "due", "claimed", "attempt", "pushed"]


def django_settings(monkeypatch: pytest.MonkeyPatch, secret: str) -> ModuleType:
    """The settings of the Django example, as Django imports them."""
    monkeypatch.setenv("JWT_SECRET", secret)
    spec = spec_from_file_location("django_example", ROOT / "examples/django/settings.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("token_type", "code"), [("access", 0), ("refresh", 1)])
async def test_tokens_of_simplejwt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token_type: str, code: int
) -> None:
    """Its access tokens are taken, and its refresh tokens are not; both have the claims that it writes."""
    secret = "the-signing-key-of-a-django-project-0123456789"
    simple_jwt = django_settings(monkeypatch, secret).SIMPLE_JWT
    claims = {
        "token_type": token_type,
        "exp": 4_000_000_000,
        "iat": 1_700_000_000,
        "jti": "cfdbaeba6f7c4a96acbc9e95c56e43e6",
        simple_jwt["USER_ID_CLAIM"]: "42",
    }
    token = TokenSigner.from_secret(simple_jwt["SIGNING_KEY"], algorithm=simple_jwt["ALGORITHM"]).sign(claims)
    config = str(ROOT / "examples/django/hub.toml")
    done = run_hub(
        "token", "check", token, "--config", config, cwd=tmp_path, env={"HUB_AUTH__SECRET": secret}
    )
    assert done.code == code, done.out
