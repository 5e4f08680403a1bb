"""The pages for operators against alerts, tests, benchmarks and commands."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml  # type: ignore[import-untyped]

from hub.api.registry import METHODS
from hub.errors import Disconnect
from tests.docs.test_docs import known
from tests.support.markdown import ROOT, Page

OPERATIONS = ROOT / "docs/operations"
RUNBOOK = Page(OPERATIONS / "runbook.md")
THREATS = Page(OPERATIONS / "threat-model.md")
SIZING = Page(OPERATIONS / "sizing.md")
CHECKLIST = Page(OPERATIONS / "security-checklist.md")
DEPLOYING = Page(OPERATIONS / "deploying.md")
UPGRADE = Page(OPERATIONS / "upgrade.md")


def alerts() -> list[str]:
    """The names of all alert rules."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    return [rule["alert"] for group in rules["groups"] for rule in group["rules"]]


def test_every_alert_leads_somewhere_in_the_runbook() -> None:
    """Whoever is woken finds what to do."""
    rows = {row[0].strip("`"): row[1] for row in RUNBOOK.table("Alerts")}
    assert sorted(rows) == sorted(alerts())
    for name, target in rows.items():
        (anchor, *_) = re.findall(r"\(#([^)]+)\)", target)
        assert anchor in RUNBOOK.anchors(), name


def test_close_codes_of_the_runbook_are_those_of_the_hub() -> None:
    """A code that is not sent would send people astray."""
    codes = {str(each.code) for each in known(Disconnect) if isinstance(each, Disconnect)}
    named = {code for row in RUNBOOK.table("Clients are cut off") for code in row[0].split(", ")}
    assert named <= codes


def test_calls_that_the_runbook_names_exist() -> None:
    """As methods of the server API."""
    named = set(re.findall(r"`(user_\w+|token_\w+|presence_\w+)`", RUNBOOK.text))
    assert named
    assert named <= set(METHODS)


@pytest.mark.parametrize("page", [THREATS, UPGRADE, DEPLOYING], ids=lambda page: page.name)
def test_tests_that_pages_name_exist(page: Page) -> None:
    """What is said to be held up by a test is."""
    named = re.findall(r"`(tests/[\w/.]+)`", page.text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_threat_is_held_up_by_a_test() -> None:
    """By one that exists."""
    for row in THREATS.table("Threats"):
        assert re.fullmatch(r"`tests/[\w/]+\.py`", row[3]), row[0]


def test_every_figure_has_a_command_that_exists() -> None:
    """So that it can be measured where it is needed."""
    for page_rows in (SIZING.table("What things cost"), SIZING.table("What breaks the pattern")):
        for row in page_rows:
            for module in re.findall(r"python -m ([\w.]+)", row[-1]):
                assert importlib.util.find_spec(module) is not None, module
    assert all("python -m benchmarks." in row[-1] for row in SIZING.table("What things cost"))


def test_files_of_deploy_are_described() -> None:
    """Each file, or its folder."""
    cells = " ".join(row[0] for row in DEPLOYING.table("Deploying"))
    named = set(re.findall(r"`([^`]+)`", cells))
    for file in (ROOT / "deploy").rglob("*"):
        path = file.relative_to(ROOT / "deploy").as_posix()
        folders = {f"{parent.as_posix()}/" for parent in file.relative_to(ROOT / "deploy").parents}
        assert file.is_dir() or path in named or folders & named, path
    assert [name for name in named if not (ROOT / "deploy" / name).exists()] == []


def test_the_checklist_says_how_each_point_is_seen() -> None:
    """By one of a few ways."""
    ways = {row[0] for heading in CHECKLIST.headings(2) for row in CHECKLIST.table(heading)}
    assert ways == {"doctor", "settings", "`hub config check`", "outside", "you"}
