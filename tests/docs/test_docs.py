"""The documentation against the code: tables, rules, settings, links."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias, cast, get_args

import httpx
import pytest
from starlette.routing import Route

import hub.errors
from config import SettingsError, read_settings
from config.layers import NOT_SETTINGS, all_variables
from hub.api.app_http import OriginRule, Revoked, Verifier, create_client_api
from hub.api.app_rpc import create_rpc_methods
from hub.api.notification_requests import NotifyRequest, Overrides, Shown
from hub.api.registry import METHODS
from hub.delivery.model import Event
from hub.errors import Disconnect, ErrorCode, UnsubscribeCode
from hub.node.notifications import Notifications
from tests.architecture.test_imports import ALLOWED, CORE
from tests.support.markdown import ROOT, Block, Page, pages
from workers import retry
from workers.push import Outcome, Verdict
from workers.senders.addresses import KNOWN_PUSH_SERVICES
from workers.senders.apns import answers as apns
from workers.senders.fcm import answers as fcm
from workers.senders.fcm import sdk
from workers.senders.webpush import outcome_of

DOCS = ROOT / "docs"
README = Page(ROOT / "README.md")
CODES = Page(DOCS / "error-codes.md")
API = Page(DOCS / "server-api.md")
PROTOCOL = Page(DOCS / "protocol.md")
APPS = Page(DOCS / "apps.md")
NOTIFICATIONS = Page(DOCS / "notifications.md")
PROVIDERS = Page(DOCS / "push-providers.md")

YES_NO = {True: "yes", False: "no"}

every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


Code: TypeAlias = ErrorCode | UnsubscribeCode | Disconnect


def known(kind: type[Code]) -> list[Code]:
    """Everything of this kind in the table of codes."""
    return [value for value in vars(hub.errors).values() if isinstance(value, kind)]


def test_errors_are_those_of_the_code() -> None:
    """Every code once, with its message, status and temporariness, and none besides."""
    documented = [row[:4] for row in CODES.table("Errors in replies")]
    in_code = [
        [str(error.code), error.message, str(error.http_status), YES_NO[error.temporary]]
        for error in known(ErrorCode)
        if isinstance(error, ErrorCode)
    ]
    assert documented == in_code


def test_unsubscribe_codes_are_those_of_the_code() -> None:
    """SDKs subscribe again from 2500 on."""
    documented = [row[:3] for row in CODES.table("Unsubscribe codes")]
    in_code = [
        [str(why.code), why.reason, YES_NO[why.code >= 2500]]
        for why in known(UnsubscribeCode)
        if isinstance(why, UnsubscribeCode)
    ]
    assert documented == in_code


def test_close_codes_are_those_of_the_code() -> None:
    """With what SDKs make of the number."""
    documented = [row[:3] for row in CODES.table("Close codes")]
    in_code = [
        [str(why.code), why.reason, YES_NO[why.reconnect]]
        for why in known(Disconnect)
        if isinstance(why, Disconnect)
    ]
    assert documented == in_code


def test_what_is_not_sent_is_not_used() -> None:
    """A code that the page calls unused is named nowhere in the hub, and the reverse."""
    code_names = {name: value for name, value in vars(hub.errors).items() if not name.startswith("_")}
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "hub").rglob("*.py") if path.name != "errors.py"
    )
    rows = [
        row for name in ("Errors in replies", "Unsubscribe codes", "Close codes") for row in CODES.table(name)
    ]
    unused = {row[0] for row in rows if any(cell.startswith("not sent") for cell in row)}
    in_code = {
        str(value.code)
        for name, value in code_names.items()
        if isinstance(value, ErrorCode | UnsubscribeCode | Disconnect)
        and not re.search(rf"\b{name}\b", sources)
    }
    assert unused == in_code


def test_every_method_of_the_api_is_described() -> None:
    """One section each, with its scope."""
    assert sorted(heading for heading in API.headings(3) if " " not in heading) == sorted(METHODS)
    scopes = {scope.strip("`"): set(methods.split(", ")) for scope, methods in API.table("Keys")}
    scopes["admin"] = set(API.table("Keys")[-1][1].partition(";")[0].split(", "))
    assert set(scopes) == {method.scope for method in METHODS.values()} - {None}
    for scope, methods in scopes.items():
        assert methods == {name for name, method in METHODS.items() if method.scope == scope}


def test_rules_are_numbered_without_holes() -> None:
    """A rule that is cited must be found, and only once."""
    numbers = [int(number) for number in re.findall(r"^- \*\*R(\d+)\*\*", PROTOCOL.text, re.MULTILINE)]
    assert numbers[0] == 1
    assert all(after == before + 1 for before, after in pairwise(numbers))


def is_built(room: Path) -> bool:
    """Whether there is any code in it."""
    return room.with_suffix(".py").is_file() or any(room.glob("*.py"))


def test_every_room_is_described() -> None:
    """The rooms of the imports' table are those of the page."""
    rooms = {
        cell
        for row in Page(DOCS / "architecture.md").table("Rooms")
        for cell in re.findall(r"`([^`]+)`", row[0])
    }
    # The table also has room for what is not built yet.
    built = {room for room in ALLOWED if is_built(ROOT / Path(*room.split(".")))}
    assert built - rooms == set()


def test_the_table_of_imports_is_that_of_the_test() -> None:
    """Every room once, with what it may import."""
    documented: dict[str, set[str]] = {}
    for rooms, imports in Page(DOCS / "architecture.md").table("Imports"):
        named = set() if imports == "nothing of ours" else set(imports.partition(";")[0].split(", "))
        for room in re.findall(r"`([^`]+)`", rooms):
            documented[room] = {f"hub.{name}" for name in named}
    assert documented == {room: allowed - CORE for room, allowed in ALLOWED.items() if room != "config"}


def test_the_readme_leads_to_every_page() -> None:
    """Whatever is written can be found."""
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in README.links() if "://" not in link}
    assert [page.name for page in pages() if page.path not in linked and page.path != README.path] == []


@every_page
def test_links_lead_somewhere(page: Page) -> None:
    """Files exist, and headings in them too."""
    for link in page.links():
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        assert target.exists(), link
        if anchor:
            assert anchor in Page(target).anchors(), link


@every_page
def test_variables_are_settings(page: Page) -> None:
    """No page names a variable that the hub would refuse."""
    named = set(re.findall(r"\bHUB_[A-Z0-9_]+[A-Z0-9]\b", page.text))
    assert named <= set(all_variables()) | NOT_SETTINGS


def toml_blocks() -> list[Block]:
    """Every settings file that a page shows."""
    return [block for page in pages() for block in page.blocks("toml")]


@pytest.mark.parametrize("block", toml_blocks(), ids=lambda block: block.section)
def test_settings_in_pages_are_in_order(block: Block, tmp_path: Path) -> None:
    """They can be pasted; only the files that they name are elsewhere."""
    file = tmp_path / "hub.toml"
    file.write_text(block.text, encoding="utf-8")
    try:
        read_settings(file, for_serving=False)
    except SettingsError as error:
        mistakes = [problem for problem in error.problems if "does not exist" not in problem.message]
        assert mistakes == []


RPC_METHODS = frozenset(create_rpc_methods(cast(Notifications, None)))
"""What apps call over their socket; the names look like settings."""


def test_settings_named_in_prose_exist() -> None:
    """`limits.max_channels` and the like are keys of today's settings, or methods of apps."""
    variables = set(all_variables())
    sections = {
        variable.removeprefix("HUB_").partition("__")[0].lower() for variable in variables if "__" in variable
    }
    for page in pages():
        for section, key in re.findall(r"`([a-z]+)\.([a-z_.]+)(?: = [^`]*)?`", page.text):
            if section in sections and f"{section}.{key}" not in RPC_METHODS:
                name = f"HUB_{section}__{key.replace('.', '__')}".upper()
                assert any(variable == name or variable.startswith(f"{name}__") for variable in variables), (
                    page.name,
                    f"{section}.{key}",
                )


def test_every_call_of_apps_is_described() -> None:
    """Over the socket by name, over HTTP by method and path, and nothing that is not there."""
    rows = APPS.table("Methods")
    assert {row[0].strip("`") for row in rows if row[0]} == RPC_METHODS
    (mount,) = create_client_api(
        cast(Notifications, None), cast(Verifier, None), cast(OriginRule, None), revoked=cast(Revoked, None)
    )
    routes = {
        f"{method} {mount.path}{route.path}"
        for route in mount.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {row[1].strip("`").partition("?")[0] for row in rows} == routes


def test_every_step_of_a_trace_is_described() -> None:
    """As the code names them."""
    rows = NOTIFICATIONS.table("Why did this phone (not) get it?")
    steps = [step for row in rows for step in row[0].split(", ")]
    assert sorted(steps) == sorted(get_args(Event))


def test_every_field_of_notify_is_described() -> None:
    """In the guide and in the reference."""
    for rows in (NOTIFICATIONS.table("The call"), API.table("notify")):
        assert {row[0].strip("`") for row in rows} == set(NotifyRequest.__struct_fields__)
        for kind in (Shown, Overrides):
            told = next(
                row for row in rows if row[0] == f"`{kind.__name__.lower().replace('shown', 'notification')}`"
            )
            assert set(kind.__struct_fields__) <= set(re.findall(r"`(\w+)`", " ".join(told[1:])))


LEADS_TO = {
    "accepted": Verdict.ACCEPTED,
    "later": Verdict.LATER,
    "gone": Verdict.GONE,
    "dead": Verdict.DEAD,
    "stop": Verdict.STOP,
}
"""The words of the page for the verdicts of the code."""


def test_what_answers_of_apns_lead_to() -> None:
    """Every reason of the code is on the page once, with what it comes to."""
    documented: dict[str, str] = {}
    for status, reasons, leads_to, _ in PROVIDERS.table("What each answer leads to"):
        for reason in re.findall(r"`(\w+)`", reasons):
            assert reason not in documented
            documented[reason] = leads_to
            answer = apns.Answer(int(status), reason)
            assert apns.classify(answer).verdict is LEADS_TO[leads_to], reason
            assert apns.is_known(reason)
    assert set(documented) == set(apns.BY_REASON)
    beyond = {403: "stop", 410: "gone", 429: "later", 400: "dead", 500: "later"}
    assert {status: apns.classify(apns.Answer(status, "New")).verdict for status in beyond} == {
        status: LEADS_TO[leads_to] for status, leads_to in beyond.items()
    }


def fcm_outcome(status: int, code: str) -> Outcome:
    """What the sender makes of an answer of FCM."""
    details = (
        [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}] if code else []
    )
    response = httpx.Response(
        status,
        json={"error": {"code": status, "message": "no", "details": details}},
        request=httpx.Request("POST", "https://fcm.googleapis.com/"),
    )
    error = httpx.HTTPStatusError("no", request=response.request, response=response)
    return fcm.classify(sdk.firebase_error(error), fcm.Attempt(now_s=0.0))


def test_what_answers_of_fcm_lead_to() -> None:
    """Each row of the page."""
    for statuses, code, leads_to, _ in PROVIDERS.table("FCM")[1:]:
        for status in statuses.split(", "):
            assert fcm_outcome(int(status), code.strip("`")).verdict is LEADS_TO[leads_to], (status, code)


def test_what_answers_of_push_services_lead_to() -> None:
    """Each row of the page, and the services that are on the list."""
    for statuses, leads_to, _ in PROVIDERS.table("Web Push"):
        for status in statuses.split(", "):
            assert outcome_of(int(status), "", None).verdict is LEADS_TO[leads_to], status
    assert all(f"`{host}`" in PROVIDERS.text for host in KNOWN_PUSH_SERVICES)


def test_waits_are_those_of_the_code() -> None:
    """Their bounds, and how many attempts."""
    schedules = (retry.LOST, retry.APPLE_TROUBLE, retry.APPLE_DEVICE, retry.QUOTA, retry.GOOGLE_TROUBLE)
    for row, schedule in zip(PROVIDERS.table("When it is tried again"), schedules, strict=True):
        bounds = [tuple(map(int, pair)) for pair in re.findall(r"(\d+)–(\d+)", row[1])]
        # Where the page says that it rises, only its ends are told.
        expected = (
            [schedule.waits_s[0], schedule.waits_s[-1]] if "rising" in row[1] else list(schedule.waits_s)
        )
        assert bounds == expected
        assert int(row[2]) == schedule.max_attempts


def test_the_changelog_has_a_place_for_what_comes() -> None:
    """Unreleased comes first."""
    assert Page(ROOT / "CHANGELOG.md").headings(2)[0] == "Unreleased"


def test_example_settings_are_those_of_the_pages() -> None:
    """What the pages show of the Django example is what the files hold."""
    shown = [tomllib.loads(block.text) for block in toml_blocks() if "user_id" in block.text]
    file = tomllib.loads((ROOT / "examples/django/hub.toml").read_text(encoding="utf-8"))
    assert shown == [file] * len(shown)
    assert len(shown) == 2
