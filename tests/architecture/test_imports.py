"""The table of who may import whom, walked over every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What logs say of where they come from: see docs/decisions/0019-metrics-and-logs.md.
CORE = {"hub.model", "hub.errors", "hub.log_context"}

ALLOWED: dict[str, set[str]] = {
    "hub.model": set(),
    "hub.errors": set(),
    "hub.log_context": set(),
    "hub.metrics": set(),
    "hub.pacing": set(),
    "hub.payloads": CORE,
    "hub.protocol": CORE,
    "hub.channels": CORE | {"hub.delivery"},
    "hub.auth": CORE | {"hub.channels"},
    "hub.session": CORE | {"hub.protocol", "hub.channels"},
    "hub.delivery": CORE,
    "hub.engine": CORE | {"hub.delivery"},
    "hub.engine.memory": CORE | {"hub.engine", "hub.delivery"},
    "hub.engine.redis": CORE | {"hub.engine", "hub.delivery"},
    "hub.fanout": CORE | {"hub.protocol", "hub.metrics"},
    "hub.node": CORE | {"hub.engine", "hub.fanout", "hub.channels", "hub.delivery", "hub.metrics"},
    # Wider than first drawn: see docs/decisions/0001-connection-imports.md.
    "hub.connection": CORE
    | {"hub.session", "hub.fanout", "hub.node", "hub.auth", "hub.channels", "hub.protocol", "hub.metrics"}
    | {"hub.delivery", "hub.pacing"},
    "hub.transport": CORE | {"hub.connection", "hub.protocol", "hub.metrics", "hub.pacing"},
    # The API speaks the values of the ledger's ports: see docs/decisions/0010-api-and-ledger.md.
    "hub.api": CORE
    | {"hub.node", "hub.auth", "hub.channels", "hub.metrics", "hub.payloads", "hub.delivery", "hub.engine"}
    | {"hub.pacing"},
    "hub.ops": CORE | {"hub.node", "hub.fanout", "hub.transport", "hub.metrics"},
    # See docs/decisions/0017-console.md.
    "hub.console": CORE
    | {"hub.node", "hub.fanout", "hub.protocol", "hub.api", "hub.payloads", "hub.metrics"},
    # Wider than first drawn: see docs/decisions/0006-publisher-imports.md.
    "hub.publisher": CORE
    | {"hub.engine", "hub.engine.redis", "hub.delivery", "hub.channels", "hub.payloads"},
    "hub.testing": CORE | {"hub.engine", "hub.delivery"},
    "workers": CORE | {"hub.delivery", "hub.engine"},
    "config": set(),
}
"""Our own packages that each room may import; it may always import itself."""

ANYTHING = {
    "hub.app",
    "hub.consoles",
    "hub.engines",
    "hub.observing",
    "hub.reloading",
    "hub.serving",
    "hub.worker_app",
    "hub.cli",
    "hub.doctor",
    "hub.from_settings",
    "hub.from_push_settings",
    "hub.__main__",
}
"""The composition root and the command line."""

PURE = (
    "hub.model",
    "hub.errors",
    "hub.pacing",
    "hub.payloads",
    "hub.protocol",
    "hub.channels",
    "hub.session",
    "hub.delivery",
    "workers.push",
    "workers.payloads",
    "workers.retry",
    "workers.composing",
    "workers.settling",
    "workers.breaker",
)
"""Rooms without I/O and without a clock."""

STANDARD_LIBRARY_ONLY = ("hub.model", "hub.errors")


def files() -> list[Path]:
    """Every Python file of the packages we ship."""
    found = [p for top in ("hub", "workers", "config") for p in (ROOT / top).rglob("*.py")]
    return sorted(found)


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str | None:
    """The longest room that holds ``module``."""
    rooms = [r for r in [*ALLOWED, *ANYTHING] if module == r or module.startswith(r + ".")]
    return max(rooms, key=len, default=None)


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            found.add(module)
            if (ROOT / Path(*module.split("."))).is_dir():
                found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def is_ours(module: str) -> bool:
    """True for modules of this project."""
    return module.split(".")[0] in {"hub", "workers", "config"}


@pytest.mark.parametrize("path", files(), ids=lambda p: module_of(p))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    """Outer rooms know inner ones, never the reverse."""
    room = room_of(module_of(path))
    if module_of(path) in {"hub", "workers"}:
        assert not any(is_ours(m) for m in imports_of(path))
        return
    assert room is not None, f"{path} belongs to no room of the table"
    if room in ANYTHING:
        return
    for imported in imports_of(path):
        if not is_ours(imported):
            continue
        target = room_of(imported)
        if target is None or target == room:
            continue
        assert target in ALLOWED[room], f"{room} must not import {imported}"


@pytest.mark.parametrize("path", [p for p in files() if module_of(p).startswith(PURE)], ids=module_of)
def test_a_pure_room_has_no_event_loop_and_no_clock(path: Path) -> None:
    """What has no I/O can be tested exhaustively, and cannot be slow by waiting."""
    forbidden = {"asyncio", "time", "socket", "threading", "random", "logging"}
    assert not imports_of(path) & forbidden


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_the_innermost_values_need_nothing_installed(module: str) -> None:
    """Everybody imports these; they import nobody."""
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    assert all(m.split(".")[0] in sys.stdlib_module_names for m in imports_of(path))


@pytest.mark.timeout(300)
def test_every_module_can_be_imported_alone() -> None:
    """No import depends on another having come first."""
    modules = [module_of(p) for p in files() if p.name != "__main__.py"]
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for known in [m for m in sys.modules if m.split('.')[0] in ('hub', 'workers', 'config')]:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_publisher_lives_beside_a_foreign_config(tmp_path: Path) -> None:
    """It is imported into other people's projects, whose packages may have the names of ours."""
    for name in ("config", "workers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('this is not ours')\n")
    program = (
        "import sys\n"
        "sys.path[:0] = sys.argv[1:]\n"
        "from hub.publisher import Publisher, SyncPublisher\n"
        "SyncPublisher('redis://127.0.0.1:1').close()\n"
        "known = {name.split('.')[0] for name in sys.modules}\n"
        "assert not known & {'config', 'workers', 'pydantic', 'starlette', 'uvicorn', 'typer'}, known\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path), str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_no_file_has_outgrown_its_room() -> None:
    """One file, one idea: beyond 400 lines it is two."""
    too_long = {str(p): n for p in files() if (n := len(p.read_text().splitlines())) > 400}
    assert not too_long
