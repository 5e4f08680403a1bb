"""What another node asks of this one, as far as no server API call shows it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hub.errors import REPLACED, Disconnect
from hub.fanout import LiveConnection, Registry
from hub.node.control import LocalControl, replace_request
from hub.node.listening import Listening


class Somebody:
    """A connection that notes its end."""

    def __init__(self) -> None:
        self.user, self.client = "42", "c1"
        self.ended: list[Disconnect] = []

    def disconnect(self, why: Disconnect) -> None:
        """End it."""
        self.ended.append(why)


@pytest.mark.parametrize("expected_only", [False, True], ids=["counted in", "expected"])
async def test_a_replaced_connection_ends_on_the_node_that_has_it(expected_only: bool) -> None:
    """On no other node, and only that of the user; whether or not its connect was answered."""
    registry, somebody = Registry(), Somebody()
    control = LocalControl("here", registry, cast(Listening, None), cast(Any, None))
    connection = cast(LiveConnection, somebody)
    (registry.expect if expected_only else registry.add)(connection)
    await control.on_control(replace_request("there", "42", "c1"))
    await control.on_control(replace_request("here", "43", "c1"))
    await control.on_control(replace_request("here", "42", "c2"))
    assert somebody.ended == []
    await control.on_control(replace_request("here", "42", "c1"))
    assert somebody.ended == [REPLACED]
    registry.remove(connection)
    await control.on_control(replace_request("here", "42", "c1"))
    assert somebody.ended == [REPLACED]
