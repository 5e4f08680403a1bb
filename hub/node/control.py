"""What one node asks of all others about connections, as JSON-ready requests and answers.

Knows how a request is written and read, and what to do with it here. How it travels is
the control port's business.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from hub.delivery.inbox import INBOX_PREFIX, owner_of
from hub.delivery.model import DeviceState
from hub.engine import Answer, Request
from hub.errors import REPLACED, Disconnect, ErrorCode, HubError, UnsubscribeCode
from hub.fanout import Registry, ServerSubscription
from hub.model import Position
from hub.node.listening import Listening

log = logging.getLogger(__name__)


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def subscribe_request(user: str, client: str, wanted: ServerSubscription) -> Request:
    """Ask to attach the user's connections to a channel."""
    since = wanted.recover_since
    return {
        "do": "subscribe",
        "user": user,
        "client": client,
        "channel": wanted.channel,
        "info": _text(wanted.info),
        "data": _text(wanted.data),
        "since": None if since is None else {"offset": since.offset, "epoch": since.epoch},
        "expire_at_s": wanted.expire_at_s,
        "options": None if wanted.options is None else dict(wanted.options),
    }


def unsubscribe_request(user: str, client: str, channel: str, why: UnsubscribeCode) -> Request:
    """Ask to detach the user's connections from a channel."""
    return {
        "do": "unsubscribe",
        "user": user,
        "client": client,
        "channel": channel,
        "code": why.code,
        "reason": why.reason,
    }


def disconnect_request(user: str, client: str, whitelist: Sequence[str], why: Disconnect) -> Request:
    """Ask to end the user's connections, except those in ``whitelist``."""
    return {
        "do": "disconnect",
        "user": user,
        "client": client,
        "whitelist": list(whitelist),
        "code": why.code,
        "reason": why.reason,
    }


def replace_request(node: str, user: str, client: str) -> Request:
    """Ask one node to end the former connection of a device."""
    return {"do": "replace", "node": node, "user": user, "client": client}


def device_request(user: str, device: str, state: DeviceState | None) -> Request:
    """Tell the connection of a device that it was registered or, with a state, where its app is."""
    return {"do": "device", "user": user, "device": device, "state": state}


def refresh_request(
    user: str, client: str, expired: bool, expire_at_s: int | None, info: bytes | None
) -> Request:
    """Ask to move the expiry of the user's connections."""
    return {
        "do": "refresh",
        "user": user,
        "client": client,
        "expired": expired,
        "expire_at_s": expire_at_s,
        "info": _text(info),
    }


def channels_request(pattern: str) -> Request:
    """Ask for channels with subscribers, by glob pattern; an empty one means all but inboxes."""
    return {"do": "channels", "pattern": pattern}


def connections_request(user: str, client: str) -> Request:
    """Ask for a description of connections."""
    return {"do": "connections", "user": user, "client": client}


INFO_REQUEST: Request = {"do": "info"}
REVOKED_REQUEST: Request = {"do": "revoked"}
"""Tell that the revocations changed."""


def error_of(answer: Answer) -> HubError:
    """The refusal that a node's answer carries."""
    return HubError(ErrorCode(**answer["error"]))


class LocalControl:
    """Does on this node what any node asked for."""

    def __init__(
        self,
        node: str,
        registry: Registry,
        listening: Listening,
        describe_node: Callable[[], Mapping[str, Any]],
        on_revoked: Callable[[], Awaitable[None]],
    ) -> None:
        self._node = node
        self._registry = registry
        self._listening = listening
        self._describe_node = describe_node
        self._on_revoked = on_revoked

    async def on_control(self, request: Request) -> Answer:
        """Do it; the answer is empty for what promises none."""
        match request.get("do"):
            case "subscribe":
                return await self._subscribe(request)
            case "unsubscribe":
                await self._unsubscribe(request)
            case "disconnect":
                self._disconnect(request)
            case "replace":
                self._replace(request)
            case "device":
                await self.tell_device(request["user"], request["device"], request["state"])
            case "refresh":
                for connection in self._registry.matching(request["user"], request["client"]):
                    connection.refresh_by_server(
                        request["expired"], request["expire_at_s"], _bytes(request["info"])
                    )
            case "channels":
                return {"channels": self._channels(request["pattern"])}
            case "connections":
                found = self._registry.find(request["user"], request["client"])
                return {"connections": {connection.client: connection.describe() for connection in found}}
            case "revoked":
                await self._on_revoked()
            case "info":
                return dict(self._describe_node())
            case unknown:
                # A newer node may ask for what this one does not know yet.
                log.warning("unknown control request %r ignored", unknown)
        return {}

    def _disconnect(self, request: Request) -> None:
        for connection in self._registry.matching(request["user"], request["client"]):
            if connection.client not in request["whitelist"]:
                connection.disconnect(Disconnect(request["code"], request["reason"]))

    async def tell_device(self, user: str, device: str, state: DeviceState | None) -> bool:
        """Tell the connection of a device, where it is here, of its registration or of a state.

        Raises:
            EngineUnavailable: it is unknown whether the ledger learned of it.
        """
        for connection in self._registry.matching(user):
            if connection.device == device:
                if state is None:
                    await connection.device_registered(device)
                else:
                    await connection.set_device_state(state)
                return True
        return False

    async def _unsubscribe(self, request: Request) -> None:
        why = UnsubscribeCode(request["code"], request["reason"])
        for connection in self._registry.matching(request["user"], request["client"]):
            await connection.unsubscribe_by_server(request["channel"], why)

    def _replace(self, request: Request) -> None:
        if request["node"] == self._node:
            self.replace(request["user"], request["client"])

    def replace(self, user: str, client: str) -> None:
        """End a connection here whose device has a newer one."""
        connection = self._registry.by_client(client)
        if connection is not None and connection.user == user:
            connection.disconnect(REPLACED)

    async def _subscribe(self, request: Request) -> Answer:
        since = request["since"]
        wanted = ServerSubscription(
            channel=request["channel"],
            info=_bytes(request["info"]),
            data=_bytes(request["data"]),
            recover_since=None if since is None else Position(since["offset"], since["epoch"]),
            expire_at_s=request["expire_at_s"],
            options=request["options"],
        )
        error: HubError | None = None
        for connection in self._registry.matching(request["user"], request["client"]):
            try:
                await connection.subscribe_by_server(wanted)
            except HubError as exc:
                error = exc
        return {} if error is None else {"error": asdict(error.error)}

    def _channels(self, pattern: str) -> dict[str, int]:
        counts = self._listening.counts()
        if not pattern.startswith(INBOX_PREFIX):
            # One for each user who is there: whoever wants to see them says so.
            counts = {channel: count for channel, count in counts.items() if owner_of(channel) is None}
        if not pattern:
            return counts
        return {channel: count for channel, count in counts.items() if fnmatchcase(channel, pattern)}
