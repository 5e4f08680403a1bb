"""A small HTTP endpoint beside running simulators: look at what they took, and tell them what shall fail.

For people and for programs in other languages; tests in Python speak to the simulators themselves. Answers
only to addresses of this machine, and to no web page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from hub.testing.simulators.faults import Fault
from hub.testing.simulators.http import Exchange, Reply, Request, json_headers
from hub.testing.simulators.http2 import Http2Options
from hub.testing.simulators.listening import Door, Listener
from hub.testing.simulators.provider import ProviderSimulator
from hub.testing.simulators.webpush import WebPushSimulator

MAX_LISTED = 1000
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
FAULT_TYPES: dict[str, type | tuple[type, ...]] = {
    "delay_s": (int, float),
    "status": int,
    "reason": str,
    "headers": dict,
    "body": str,
    "timestamp_ms": int,
    "retry_after_s": (int, float, str),
    "message_id": str,
    "frames": str,
    "ending": str,
    "reset_code": int,
    "goaway": str,
    "accepted": bool,
}
"""Fields of a fault, as they may stand in JSON."""


class NotUnderstood(Exception):
    """The request cannot be obeyed; the text says why."""


class ControlPanel:
    """``GET /`` what is going on, ``GET /pushes`` what was accepted, ``POST`` to change things.

    - ``GET /pushes?provider=apns&after=12&limit=100``: oldest first, tokens as hashes.
    - ``POST /script`` ``{"provider", "token": "*", "steps": [fault, ...], "forever": false}``: a step has
    the fields of :class:`Fault`, ``body`` as text. ``POST /script`` for provider ``oauth`` is about the
    token endpoint of FCM. - ``POST /door`` ``{"provider", "door": "open" | "refusing" | "hanging_up" |
    "black_hole"}``, ``POST /cut`` and ``POST /heal`` ``{"provider"}``.
    - ``POST /subscriptions`` makes a Web Push subscription and answers with it.
    """

    def __init__(self, providers: Mapping[str, ProviderSimulator]) -> None:
        self._providers = dict(providers)
        self._listener = Listener(self._on_request, None, Http2Options())

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes any free one.

        Raises:
            OSError: the port is not to be had.
        """
        await self._listener.start(host, port)

    async def stop(self) -> None:
        """Cut every connection and stop listening."""
        await self._listener.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self._listener.address}"

    def _on_request(self, exchange: Exchange) -> None:
        request = exchange.request
        try:
            if not _is_local(request):
                exchange.answer(_reply(403, {"error": "only for programs on this machine"}))
                return
            value = self._read(request) if request.method == "GET" else self._changed(request)
        except NotUnderstood as error:
            exchange.answer(_reply(400, {"error": str(error)}))
            return
        exchange.answer(_reply(200, value) if value is not None else _reply(404, {"error": "no such page"}))

    def _read(self, request: Request) -> Any:
        parts = urlsplit(request.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/":
                return {name: _state(provider) for name, provider in self._providers.items()}
            case "/pushes":
                return {"pushes": self._pushes(asked)}
            case _:
                return None

    def _pushes(self, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        try:
            after, limit = int(asked.get("after", "0")), int(asked.get("limit", "100"))
        except ValueError:
            raise NotUnderstood("after and limit are numbers") from None
        names = [asked["provider"]] if "provider" in asked else list(self._providers)
        found = [push for name in names for push in self._provider(name).ledger if push.number > after]
        found.sort(key=lambda push: push.at_ms)
        return [push.shown() for push in found[: min(limit, MAX_LISTED)]]

    def _changed(self, request: Request) -> Any:
        try:
            body = orjson.loads(request.body or b"{}")
        except orjson.JSONDecodeError:
            raise NotUnderstood("the body is no JSON") from None
        if not isinstance(body, dict):
            raise NotUnderstood("the body is no object")
        match request.path:
            case "/script":
                return self._script(body)
            case "/door":
                return self._open_or_close(body)
            case "/cut":
                self._provider(body.get("provider")).cut()
            case "/heal":
                self._provider(body.get("provider")).heal()
            case "/subscriptions":
                return self._subscription(body)
            case _:
                return None
        return {"done": True}

    def _script(self, body: dict[str, Any]) -> Any:
        token, steps = body.get("token", "*"), body.get("steps")
        forever = body.get("forever", False)
        if not isinstance(token, str) or not isinstance(steps, list) or not isinstance(forever, bool):
            raise NotUnderstood("token is a text, steps is a list, forever is true or false")
        faults = [_fault_of(step) for step in steps]
        if body.get("provider") == "oauth":
            for provider in self._providers.values():
                if (oauth := getattr(provider, "oauth", None)) is not None:
                    oauth.script(faults, forever=forever)
        else:
            self._provider(body.get("provider")).script(token, faults, forever=forever)
        return {"done": True}

    def _open_or_close(self, body: dict[str, Any]) -> Any:
        door = body.get("door")
        if not isinstance(door, str) or door.upper() not in Door.__members__:
            raise NotUnderstood(f"door is one of {', '.join(Door.__members__).lower()}")
        self._provider(body.get("provider")).set_door_soon(Door[door.upper()])
        return {"done": True}

    def _subscription(self, body: dict[str, Any]) -> Any:
        key = body.get("application_key", "")
        if not isinstance(key, str):
            raise NotUnderstood("application_key is a text")
        for provider in self._providers.values():
            if isinstance(provider, WebPushSimulator):
                return provider.subscribe(key).json()
        raise NotUnderstood("no push service of a browser runs here")

    def _provider(self, name: object) -> ProviderSimulator:
        if not isinstance(name, str) or name not in self._providers:
            raise NotUnderstood(f"provider is one of {', '.join(self._providers)}")
        return self._providers[name]


def _state(provider: ProviderSimulator) -> dict[str, Any]:
    ledger = provider.ledger
    return {
        "url": provider.url,
        "accepted": ledger.count,
        "answers": [
            {"status": status, "reason": reason, "count": count}
            for (status, reason), count in sorted(ledger.answers.items())
        ],
        "connections": {"open": provider.connections_open, "opened": provider.connections_opened},
        "violations": provider.violations[-100:],
    }


def _fault_of(step: object) -> Fault:
    if not isinstance(step, dict):
        raise NotUnderstood("a step is an object")
    for name, value in step.items():
        expected = FAULT_TYPES.get(name)
        if expected is None or not isinstance(value, expected):
            raise NotUnderstood(f"{name} is no field of a fault, or of another type")
    for name, allowed in _WORDS.items():
        if step.get(name, allowed[0]) not in allowed:
            raise NotUnderstood(f"{name} is one of {', '.join(repr(word) for word in allowed)}")
    if isinstance(step.get("body"), str):
        step["body"] = step["body"].encode()
    return Fault(**step)


_WORDS = {
    "message_id": ("same", "other", "absent"),
    "frames": ("one", "split", "empty", "none"),
    "ending": ("answer", "stall", "reset", "close"),
    "goaway": ("", "graceful", "hard"),
}
assert {field.name for field in fields(Fault)} == FAULT_TYPES.keys()


def _is_local(request: Request) -> bool:
    # A page in a browser sends an Origin, or came by a name that somebody made point here.
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    return "origin" not in request.headers and host in LOCAL_NAMES


def _reply(status: int, value: Any) -> Reply:
    return Reply(status, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", json_headers())
