"""Logs: structlog over the standard library, one stream, secrets taken out.

What the hub and its libraries log goes the same way and looks the same. Redaction is the last
net, not the rule: nothing that logs should have a token in its hands.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.process import LogSettings

REDACTED = "***"

_SECRET_NAME = re.compile(
    r"token|secret|passw|authorization|cookie|credential|api_?-?key|private|receipt|(^|_)(pem|jwt|key)$",
    re.IGNORECASE,
)
_NOT_SECRET = frozenset({"token_hash", "idempotency_key", "collapse_key", "token_id"})
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_SECRET_IN_TEXT = re.compile(r"(?i)((?:api_key|token|secret|password)=|bearer\s+|://[^/\s:@]*:)[^\s&\"'@]+")

QUIET_LOGGERS = (
    *("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "httpx", "httpcore", "asyncio"),
    # What they tell at DEBUG are headers and addresses, and in those are device tokens and credentials.
    *("hpack", "h2", "urllib3", "requests", "aiohttp", "aioapns", "pywebpush"),
    *("google", "firebase_admin", "opentelemetry"),
)
"""Libraries that tell at INFO what the hub tells itself, or tell more than belongs into a log."""


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Take out what its name or its look says is a secret, at any depth."""
    for name in event:
        event[name] = _redacted(name, event[name])
    return event


def redact_text(text: str) -> str:
    """``text`` without JWTs, bearer tokens, ``api_key=…`` and passwords in URLs."""
    return _SECRET_IN_TEXT.sub(rf"\g<1>{REDACTED}", _JWT.sub(REDACTED, text))


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every log of this process to ``stream`` (standard error). The last call counts."""
    stream = stream if stream is not None else sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Plain tracebacks: the pretty ones print local variables, and those hold tokens.
            structlog.processors.format_exc_info,
            redact,
            _renderer(settings.format, stream),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:3],
            structlog.stdlib.PositionalArgumentsFormatter(),
            shared[-1],
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _renderer(format_name: str, stream: TextIO) -> Processor:
    if format_name == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


def _redacted(name: str, value: object) -> Any:
    if _SECRET_NAME.search(name) and name not in _NOT_SECRET:
        return REDACTED if value else value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, MutableMapping):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", inner) for inner in value]
    return value
