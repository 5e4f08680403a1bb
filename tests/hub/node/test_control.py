"""What another node asks of this one, as far as no server API call shows it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hub.errors import REPLACED, Disconnect
from hub.fanout import LiveConnection, Registry
from hub.node.control import LocalControl, device_request, replace_request
from hub.node.listening import Listening


class Somebody:
    """A connection that notes its end, and what it is told of its device."""

    def __init__(self) -> None:
        self.user, self.client, self.device = "42", "c1", "phone"
        self.ended: list[Disconnect] = []
        self.told: list[str] = []

    async def device_registered(self, device: str) -> None:
        """It was registered."""
        self.told.append(f"{device} registered")

    async def set_device_state(self, state: str) -> None:
        """It went there."""
        self.told.append(state)

    def disconnect(self, why: Disconnect) -> None:
        """End it."""
        self.ended.append(why)


@pytest.mark.parametrize("expected_only", [False, True], ids=["counted in", "expected"])
async def test_a_replaced_connection_ends_on_the_node_that_has_it(expected_only: bool) -> None:
    """On no other node, and only that of the user; whether or not its connect was answered."""
    registry, somebody = Registry(), Somebody()
    control = LocalControl("here", registry, cast(Listening, None), cast(Any, None), cast(Any, None))
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


async def test_the_connection_of_a_device_is_told_of_it() -> None:
    """That of this user and this device, and no other."""
    registry, somebody = Registry(), Somebody()
    control = LocalControl("here", registry, cast(Listening, None), cast(Any, None), cast(Any, None))
    registry.add(cast(LiveConnection, somebody))
    await control.on_control(device_request("42", "tablet", None))
    await control.on_control(device_request("43", "phone", None))
    assert somebody.told == []
    await control.on_control(device_request("42", "phone", None))
    await control.on_control(device_request("42", "phone", "background"))
    assert somebody.told == ["phone registered", "background"]
