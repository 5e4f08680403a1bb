"""The published Python SDK, in the test's own process."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

import centrifuge

from tests.support.sdk import (
    RECONNECT_DELAY_S,
    TIMEOUT_S,
    ClientOptions,
    EventLog,
    Fields,
    GetToken,
    SdkError,
    SubscriptionOptions,
)
from tests.support.waiting import eventually

_MIN_DELAY_S, _MAX_DELAY_S = RECONNECT_DELAY_S
_TIMED_OUT = 1
"""The code that the SDKs themselves give to a call without an answer."""


class PythonClient:
    """One ``centrifuge.Client``; see ``SdkClient`` for what it promises."""

    def __init__(self, options: ClientOptions) -> None:
        self.events = EventLog()
        self._binary = options.codec == "protobuf"
        self._patches: dict[str, int] = {}
        self._sdk = centrifuge.Client(
            options.url,
            events=_ClientEvents(self),
            token=options.token,
            get_token=_asked(options.get_token),
            data=None if options.data is None else self.encoded(options.data),
            use_protobuf=self._binary,
            timeout=TIMEOUT_S,
            max_server_ping_delay=options.max_server_ping_delay_s,
            min_reconnect_delay=_MIN_DELAY_S,
            max_reconnect_delay=_MAX_DELAY_S,
            proxy=None,
        )

    def decoded(self, payload: Any) -> Any:
        """A payload as a JSON value."""
        if not self._binary:
            return payload
        if not payload:
            return None
        try:
            return json.loads(payload)
        except ValueError:
            return {"b64": base64.b64encode(payload).decode()}

    def encoded(self, value: object) -> Any:
        """A JSON value as the SDK wants it."""
        return json.dumps(value).encode() if self._binary else value

    def info(self, info: centrifuge.ClientInfo | None) -> Fields | None:
        """Who somebody is, with payloads as JSON values."""
        if info is None:
            return None
        told = asdict(info)
        return {**told, **{key: self.decoded(told[key]) for key in ("conn_info", "chan_info")}}

    def publication(self, publication: centrifuge.Publication) -> Fields:
        """A publication with its payload as a JSON value."""
        return {
            "data": self.decoded(publication.data),
            "offset": publication.offset,
            "info": self.info(publication.info),
            "tags": dict(publication.tags or {}),
        }

    def tell(self, name: str, ctx: Any, **more: Any) -> None:
        """Note an event with everything that its context holds."""
        told: Fields = {**vars(ctx), **more}
        if "stream_position" in told:
            position = told.pop("stream_position")
            told["position"] = None if position is None else asdict(position)
        if "data" in told:
            told["data"] = self.decoded(told["data"])
        if "info" in told:
            told["info"] = self.info(told["info"])
        if "pub" in told:
            told.update(self.publication(told.pop("pub")))
        error = told.pop("error", None)
        if isinstance(error, centrifuge.CentrifugeError):
            told["message"] = str(error)
            told["code"] = getattr(error, "code", told["code"])
        self.events.add(name, told)

    def count_patch(self, channel: str) -> None:
        """A publication came as a patch."""
        self._patches[channel] = self._patches.get(channel, 0) + 1

    def is_idle(self) -> bool:
        """Whether the SDK runs nothing in the background. It offers no way to wait for that."""
        return not self._sdk._background_tasks

    async def connect(self) -> None:
        await self._sdk.connect()

    async def disconnect(self) -> None:
        await self._sdk.disconnect()

    async def subscribe(self, channel: str, options: SubscriptionOptions | None = None) -> None:
        await self._subscription(channel, options or SubscriptionOptions()).subscribe()

    def _subscription(self, channel: str, options: SubscriptionOptions) -> centrifuge.Subscription:
        found = self._sdk.get_subscription(channel)
        if found is not None:
            return found
        return self._sdk.new_subscription(
            channel,
            events=_SubscriptionEvents(self, channel),
            token=options.token,
            get_token=_asked(options.get_token),
            get_state=_position(options.get_state),
            recoverable=options.recoverable,
            positioned=options.positioned,
            join_leave=options.join_leave,
            delta=centrifuge.DeltaType(options.delta) if options.delta else None,
            min_resubscribe_delay=_MIN_DELAY_S,
            max_resubscribe_delay=_MAX_DELAY_S,
        )

    async def unsubscribe(self, channel: str) -> None:
        subscription = self._sdk.get_subscription(channel)
        assert subscription is not None
        await subscription.unsubscribe()

    async def publish(self, channel: str, data: object) -> None:
        await _outcome(self._sdk.publish(channel, self.encoded(data)))

    async def publish_bytes(self, channel: str, payload: bytes) -> None:
        await _outcome(self._sdk.publish(channel, payload))

    async def history(
        self, channel: str, limit: int = 0, since: Fields | None = None, reverse: bool = False
    ) -> Fields:
        position = None if since is None else centrifuge.StreamPosition(**since)
        found = await _outcome(self._sdk.history(channel, limit=limit, since=position, reverse=reverse))
        publications = [self.publication(each) for each in found.publications]
        return {"publications": publications, "offset": found.offset, "epoch": found.epoch}

    async def presence(self, channel: str) -> dict[str, Fields]:
        found = await _outcome(self._sdk.presence(channel))
        return {client: self.info(info) or {} for client, info in found.clients.items()}

    async def presence_stats(self, channel: str) -> Fields:
        return asdict(await _outcome(self._sdk.presence_stats(channel)))

    async def rpc(self, method: str, data: object) -> object:
        found = await _outcome(self._sdk.rpc(method, self.encoded(data)))
        return self.decoded(found.data)

    async def patches(self, channel: str) -> int:
        return self._patches.get(channel, 0)


class _ClientEvents(centrifuge.ClientEventHandler):
    def __init__(self, client: PythonClient) -> None:
        self._client = client

    async def on_connecting(self, ctx: centrifuge.ConnectingContext) -> None:
        self._client.tell("connecting", ctx)

    async def on_connected(self, ctx: centrifuge.ConnectedContext) -> None:
        self._client.tell("connected", ctx)

    async def on_disconnected(self, ctx: centrifuge.DisconnectedContext) -> None:
        self._client.tell("disconnected", ctx)

    async def on_error(self, ctx: centrifuge.ErrorContext) -> None:
        self._client.tell("error", ctx)

    async def on_subscribing(self, ctx: centrifuge.ServerSubscribingContext) -> None:
        self._client.tell("server_subscribing", ctx)

    async def on_subscribed(self, ctx: centrifuge.ServerSubscribedContext) -> None:
        self._client.tell("server_subscribed", ctx)

    async def on_unsubscribed(self, ctx: centrifuge.ServerUnsubscribedContext) -> None:
        self._client.tell("server_unsubscribed", ctx)

    async def on_publication(self, ctx: centrifuge.ServerPublicationContext) -> None:
        self._client.tell("server_publication", ctx)

    async def on_join(self, ctx: centrifuge.ServerJoinContext) -> None:
        self._client.tell("server_join", ctx)

    async def on_leave(self, ctx: centrifuge.ServerLeaveContext) -> None:
        self._client.tell("server_leave", ctx)


class _SubscriptionEvents(centrifuge.SubscriptionEventHandler):
    def __init__(self, client: PythonClient, channel: str) -> None:
        self._client = client
        self._channel = channel

    def _tell(self, name: str, ctx: Any) -> None:
        self._client.tell(name, ctx, channel=self._channel)

    async def on_subscribing(self, ctx: centrifuge.SubscribingContext) -> None:
        self._tell("subscribing", ctx)

    async def on_subscribed(self, ctx: centrifuge.SubscribedContext) -> None:
        self._tell("subscribed", ctx)

    async def on_unsubscribed(self, ctx: centrifuge.UnsubscribedContext) -> None:
        self._tell("unsubscribed", ctx)

    async def on_publication(self, ctx: centrifuge.PublicationContext) -> None:
        if ctx.pub.delta:
            self._client.count_patch(self._channel)
        self._tell("publication", ctx)

    async def on_join(self, ctx: centrifuge.JoinContext) -> None:
        self._tell("join", ctx)

    async def on_leave(self, ctx: centrifuge.LeaveContext) -> None:
        self._tell("leave", ctx)

    async def on_error(self, ctx: centrifuge.SubscriptionErrorContext) -> None:
        self._tell("subscription_error", ctx)


def _asked(source: GetToken | None) -> Callable[..., Awaitable[str]] | None:
    if source is None:
        return None

    async def ask(*channel: str) -> str:
        token = source()
        return token if isinstance(token, str) else await token

    return ask


def _position(source: Callable[[], Fields] | None) -> Callable[[str], Awaitable[Any]] | None:
    if source is None:
        return None

    async def ask(channel: str) -> centrifuge.StreamPosition:
        return centrifuge.StreamPosition(**source())

    return ask


async def _outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except centrifuge.ReplyError as error:
        raise SdkError(error.code, str(error)) from error
    except centrifuge.OperationTimeoutError as error:
        raise SdkError(_TIMED_OUT, "timeout") from error


@contextlib.asynccontextmanager
async def python_client(options: ClientOptions) -> AsyncIterator[PythonClient]:
    """A client that is disconnected when the block ends, with nothing left running behind it."""
    client = PythonClient(options)
    try:
        yield client
    finally:
        await client.disconnect()
        await eventually(client.is_idle, TIMEOUT_S)
