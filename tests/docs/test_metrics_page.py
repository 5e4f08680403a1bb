"""Dashboard, alert rules and page name the metrics that the code exports, and no others."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import Metric

from hub.engine.memory import memory_engine
from hub.fanout import Registry, Turn
from hub.metrics import NopMetrics
from hub.model import NO_HISTORY
from hub.node import Listening
from hub.ops.exposition import Exposition
from hub.ops.prometheus import PrometheusMetrics
from hub.ops.vitals import NodeVitals, ProcessVitals
from tests.support.markdown import ROOT, Page
from workers.prometheus import PrometheusWorkerMetrics

PAGE = Page(ROOT / "docs" / "operations" / "metrics.md")
DEPLOY = ROOT / "deploy"
SCRAPE = DEPLOY / "prometheus" / "scrape.yml"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "hub.json"

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
_OF_PROMETHEUS = frozenset({"job", "instance", "le"})
_UNITS = ("_seconds", "_bytes", "_total", "_info")
_COUNTED_THINGS = frozenset(
    {
        "hub_connections",
        "hub_users",
        "hub_channels",
        "hub_outboxes_blocked",
        "hub_draining",
        "hub_drain_connections_left",
        "hub_engine_up",
        "hub_max_open_files",
        "hub_push_devices_waiting",
        "hub_push_in_flight",
        "hub_push_breaker_open",
        "hub_jobs_waiting",
    }
)
"""Gauges of things, and yes or no, which have no unit."""


@pytest.fixture(scope="module")
def exported() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of everything that a hub and a worker export, by its name on the page."""
    loop = asyncio.new_event_loop()
    try:
        return {name: (kind, labels) for name, kind, labels in _families(loop)}
    finally:
        loop.close()


def _families(loop: asyncio.AbstractEventLoop) -> Iterator[tuple[str, str, frozenset[str]]]:
    exposition = Exposition("")
    engine = memory_engine()
    PrometheusMetrics(exposition)
    PrometheusWorkerMetrics(exposition)
    ProcessVitals(
        exposition,
        version="1",
        engine_name="memory",
        engine=engine.health,
        lag_s=cast("Callable[[], float]", float),
    )
    listening = Listening(engine.broker, NopMetrics(), lambda channel: NO_HISTORY)
    NodeVitals(
        exposition, registry=Registry(), listening=listening, turn=Turn(loop), is_draining=lambda: False
    )
    family: Metric
    for family in exposition.registry.collect():
        made = cast(Any, exposition.registry)._names_to_collectors[family.name]
        name = family.name + ("_total" if family.type == "counter" else "")
        yield name, family.type, frozenset(made._labelnames)


def expressions() -> list[tuple[str, str]]:
    """Every query of the dashboard and the rules, with where it stands."""
    found: list[tuple[str, str]] = []
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        found += ((rule["alert"], rule["expr"]) for rule in group["rules"])
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        found += ((panel["title"], target["expr"]) for target in panel.get("targets", []))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found.append((variable["name"], variable["query"]["query"]))
    return found


def test_the_page_lists_what_is_exported(exported: dict[str, tuple[str, frozenset[str]]]) -> None:
    """Each metric once, with its type and its labels."""
    rows = PAGE.table("All of them")
    documented = {
        re.sub("`", "", name): (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows
    }
    assert len(documented) == len(rows)
    assert documented == exported


@pytest.mark.parametrize(("place", "query"), expressions(), ids=lambda each: each[:40])
def test_queries_use_what_there_is(
    place: str, query: str, exported: dict[str, tuple[str, frozenset[str]]]
) -> None:
    """Names as they are exported, and only labels that those have."""
    samples: dict[str, frozenset[str]] = {}
    for name, (kind, labels) in exported.items():
        base = name.removesuffix("_total") if kind == "counter" else name
        samples |= {base + suffix: labels for suffix in _SUFFIXES[kind]}
    named = re.findall(r"\bhub_\w+", query)
    # Whether somebody answers at all is counted by Prometheus, under the jobs of our scrape configuration.
    jobs = re.findall(r'\bup{job="([\w-]+)"}', query)
    assert named or jobs
    assert set(jobs) <= {job["job_name"] for job in yaml.safe_load(SCRAPE.read_text())["scrape_configs"]}
    assert set(named) <= samples.keys()
    allowed = _OF_PROMETHEUS.union(*(samples[name] for name in named))
    by = [label.strip() for part in re.findall(r"\bby \(([^)]*)\)", query) for label in part.split(",")]
    matched = [label for part in re.findall(r"{([^}]*)}", query) for label in re.findall(r"(\w+)=", part)]
    assert set(by) | set(matched) <= allowed


@pytest.mark.parametrize(("place", "query"), expressions(), ids=lambda each: each[:40])
def test_counters_are_only_looked_at_as_rates(
    place: str, query: str, exported: dict[str, tuple[str, frozenset[str]]]
) -> None:
    """Their height says nothing: it begins anew with each process."""
    for name in re.findall(r"\bhub_\w+(?:_total|_bucket)\b", query):
        assert re.search(rf"(rate|increase)\({name}", query), name
    assert query.count("(") == query.count(")")
    assert query.count("{") == query.count("}")


def test_names_carry_units(exported: dict[str, tuple[str, frozenset[str]]]) -> None:
    """As Prometheus' conventions want it; nothing is told in milliseconds."""
    for name in exported:
        assert name.startswith("hub_")
        assert name.endswith(_UNITS) or name in _COUNTED_THINGS, name


def test_no_label_grows_with_use(exported: dict[str, tuple[str, frozenset[str]]]) -> None:
    """Users, channels and devices would make a series each."""
    labels = frozenset[str]().union(*(labels for _, labels in exported.values()))
    assert labels == {
        *("sdk", "protocol", "code", "status", "limit", "result"),
        *("version", "engine", "lane", "kind", "outcome"),
    }


def test_silence_is_an_alert() -> None:
    """No process counts that it is gone: hubs and workers are missed by Prometheus itself."""
    queries = [query for _, query in expressions() if re.search(r"\bup{", query)]
    assert {re.findall(r'job="([\w-]+)"', query)[0] for query in queries} == {"hub", "hub-worker"}


def test_alert_rules_are_whole() -> None:
    """Each says how bad it is, what it is about, and is explained on the page."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    assert len({group["name"] for group in groups}) == len(groups)
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert rule["annotations"].keys() == {"summary", "description"}
        assert re.search(r"(>|<|==) ", rule["expr"]), rule["alert"]
    explained = {
        (re.sub("`", "", name), severity): meaning for name, severity, meaning, _ in PAGE.table("Alerts")
    }
    assert explained.keys() == {(rule["alert"], rule["labels"]["severity"]) for rule in rules}


def test_the_scrape_configuration_takes_the_rules_along() -> None:
    """Its jobs have targets, and the rules lie beside it."""
    told = yaml.safe_load(SCRAPE.read_text())
    assert [job["job_name"] for job in told["scrape_configs"]] == ["hub", "hub-worker"]
    assert all(job["static_configs"][0]["targets"] for job in told["scrape_configs"])
    assert [(DEPLOY / "prometheus" / file).is_file() for file in told["rule_files"]] == [True]


def test_the_dashboard_can_be_imported() -> None:
    """Panels have ids, titles and places of their own, units that Grafana knows, and explain themselves."""
    dashboard = json.loads(Path(DASHBOARD).read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"] in ("short", "ops", "s", "bytes", "percentunit")
    named = set(re.findall(r"\$(\w+)", " ".join(query for _, query in expressions())))
    assert named - {"__rate_interval"} <= {each["name"] for each in dashboard["templating"]["list"]}
