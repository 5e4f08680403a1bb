"""The node: one hub process, between the engine on one side and its connections and API on the other."""

from hub.node.healing import HealingOptions
from hub.node.listening import Listening
from hub.node.node import Node

__all__ = ["HealingOptions", "Listening", "Node"]
