"""A node for the tests of this room."""

from __future__ import annotations

from hub.channels import ChannelOptions, ChannelRules
from hub.engine.memory import memory_engine
from hub.metrics import NopMetrics
from hub.model import NodeId
from hub.node import Node


def make_node() -> Node:
    """One on the embedded engine, without history; not started."""
    return Node(
        node_id=NodeId("n"),
        name="n",
        version="0",
        engine=memory_engine(),
        rules=ChannelRules(ChannelOptions(), {}),
        metrics=NopMetrics(),
    )
