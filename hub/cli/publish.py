"""``hub publish``: one publication through the server API, as any backend would make it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hub.cli.calling import KeyFlag, UrlFlag, ask
from hub.cli.output import JsonFlag, failures_reported, show
from hub.cli.typed_json import json_or_text


def publish(
    channel: Annotated[str, typer.Argument(help="Channel to publish to.")],
    data: Annotated[str, typer.Argument(help="JSON; anything else is sent as text. - reads standard input.")],
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Publish DATA to CHANNEL."""
    with failures_reported(as_json=as_json):
        text = sys.stdin.read() if data == "-" else data
        result = ask(url, key, "publish", {"channel": channel, "data": json_or_text(text)})
        offset, epoch = result.get("offset"), result.get("epoch")
        place = f" at offset {offset} of epoch {epoch}" if offset else ""
        show(f"published to {channel}{place}", {"channel": channel, **result}, as_json=as_json)
