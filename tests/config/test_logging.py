"""Logs: one stream, one look, no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from config.logging import QUIET_LOGGERS, configure_logging, redact_text
from config.process import LogSettings

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Leave the logging of the test run as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    quiet = {name: logging.getLogger(name).level for name in QUIET_LOGGERS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, quiet_level in quiet.items():
        logging.getLogger(name).setLevel(quiet_level)
    structlog.reset_defaults()


def log_into(format_name: Literal["console", "json"] = "json", **settings: Any) -> io.StringIO:
    """A stream that all logs go to from now on."""
    stream = io.StringIO()
    configure_logging(LogSettings(format=format_name, **settings), stream)
    return stream


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_both_kinds_of_loggers_look_the_same() -> None:
    """A library's log and our own are one object per line with the same keys."""
    stream = log_into()
    logging.getLogger("library").info("from %s", "stdlib", extra={"count": 1})
    structlog.get_logger("hub").info("from structlog", count=2)
    first, second = lines_of(stream)
    assert first.keys() == second.keys() == {"event", "logger", "level", "timestamp", "count"}
    assert (first["event"], first["logger"], first["level"]) == ("from stdlib", "library", "info")


@pytest.mark.parametrize("format_name", ["console", "json"])
def test_secrets_are_taken_out(format_name: Literal["console", "json"]) -> None:
    """By their name at any depth, by their look in any text, in tracebacks too."""
    stream = log_into(format_name)
    log = structlog.get_logger("hub")
    log.info(f"got {JWT}", token="hunter2", nested={"api_key": "hunter2", "list": [{"secret": "hunter2"}]})
    logging.getLogger("x").warning("Authorization: Bearer %s", "hunter2", extra={"password": "hunter2"})
    log.info("calling", url="redis://user:hunter2@cache/0", path="/api?api_key=hunter2&x=1")
    try:
        raise ValueError(f"refused {JWT}")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert JWT not in text
    assert "ValueError" in text


def test_what_only_sounds_like_a_secret_stays() -> None:
    """Hashes, counts and names are what operators look for."""
    stream = log_into()
    structlog.get_logger("hub").info("ok", token_hash="ab12", idempotency_key="k", channel="news", keys=3)
    (line,) = lines_of(stream)
    assert (line["token_hash"], line["idempotency_key"], line["channel"], line["keys"]) == (
        "ab12",
        "k",
        "news",
        3,
    )


def test_libraries_are_quiet_until_something_is_wrong() -> None:
    """What they tell at INFO the hub tells itself."""
    stream = log_into(level="debug")
    for name in QUIET_LOGGERS:
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines_of(stream)] == ["trouble"] * len(QUIET_LOGGERS)


def test_level_holds_for_both_kinds_of_loggers() -> None:
    """What is below the level is not logged."""
    stream = log_into(level="warning")
    logging.getLogger("library").info("no")
    structlog.get_logger("hub").info("no")
    structlog.get_logger("hub").error("yes")
    assert [line["event"] for line in lines_of(stream)] == ["yes"]


def test_configuring_twice_logs_once() -> None:
    """The last call counts; nothing is doubled."""
    first = log_into()
    second = log_into()
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert len(lines_of(second)) == 1


def test_plain_text_is_left_alone() -> None:
    """Redaction changes nothing that holds no secret."""
    text = "subscribed to news:sport at offset 5 of https://example.com/a?b=c"
    assert redact_text(text) == text
