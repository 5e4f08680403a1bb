"""One live connection: what the protocol's commands do, between a transport link and the node."""

from hub.connection.connection import Connection
from hub.connection.link import Acceptor, Link, LinkEvents, Refused, Upgrade
from hub.connection.services import ConnectionOptions, ConnectionServices, RpcMethod
from hub.connection.wheel import Timer, Wheel

__all__ = [
    "Acceptor",
    "Connection",
    "ConnectionOptions",
    "ConnectionServices",
    "Link",
    "LinkEvents",
    "Refused",
    "RpcMethod",
    "Timer",
    "Upgrade",
    "Wheel",
]
