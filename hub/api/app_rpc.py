"""What apps call over their socket: devices and inbox, by name; the functions behind are those of HTTP too.

A payload is JSON in both codecs; fields that are not known are ignored. Knows of a connection
only what :class:`RpcCaller` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from hub.api import inboxes
from hub.api import notification_requests as q
from hub.api import notification_results as r
from hub.api.complaint import complaint_of
from hub.api.results import Empty
from hub.errors import BAD_REQUEST, INTERNAL, NO_DEVICE, PERMISSION_DENIED, HubError
from hub.node.notifications import Notifications


class RpcCaller(Protocol):
    """A live connection as these methods see it."""

    @property
    def user(self) -> str:
        """Its user id; empty for an anonymous one."""
        ...

    @property
    def device(self) -> str:
        """The device it named when it connected; empty for none."""
        ...

    async def device_registered(self, device: str) -> None:
        """A device of its user was registered; if it is its own, it is online now."""
        ...

    async def device_removed(self, device: str) -> None:
        """A device of its user was removed."""
        ...

    def device_acked(self, acked: int) -> None:
        """The device itself has everything up to ``acked`` of its inbox, as it said."""
        ...

    async def set_device_state(self, state: Literal["foreground", "background"]) -> None:
        """Its app went to the foreground or the background."""
        ...


RpcMethod: TypeAlias = Callable[[RpcCaller, bytes], Awaitable[bytes]]

_F = TypeVar("_F", bound=Struct)
_encode = Encoder().encode


def decode_fields(decoder: Decoder[_F], body: bytes) -> _F:
    """The fields of a request; an empty body is an empty object.

    Raises:
        HubError: 107, naming the field.
    """
    try:
        return decoder.decode(body or b"{}")
    except (ValidationError, DecodeError, RecursionError) as error:
        raise HubError(BAD_REQUEST, complaint_of(decoder.type, error)) from None


def create_rpc_methods(notifications: Notifications) -> Mapping[str, RpcMethod]:
    """The methods by their names."""
    methods = _Methods(notifications)
    return {
        "device.register": _method(q.DeviceFields, methods.register),
        "device.list": _method(q.NoFields, methods.list_devices),
        "device.remove": _method(q.DeviceChoice, methods.remove),
        "device.state": _method(q.StateFields, methods.set_state),
        "inbox.history": _method(q.InboxHistoryFields, methods.history),
        "inbox.read": _method(q.PositionFields, methods.read),
        "inbox.ack": _method(q.AckFields, methods.ack),
        "inbox.opened": _method(q.OpenedFields, methods.opened),
    }


class _Methods:
    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    async def register(self, caller: RpcCaller, fields: q.DeviceFields) -> Struct:
        registered = await inboxes.register_device(self._notifications, caller.user, caller.device, fields)
        await caller.device_registered(registered.id)
        return registered

    async def list_devices(self, caller: RpcCaller, fields: q.NoFields) -> Struct:
        return await inboxes.list_devices(self._notifications, caller.user)

    async def remove(self, caller: RpcCaller, fields: q.DeviceChoice) -> Struct:
        device = fields.id or caller.device
        if not device:
            raise HubError(NO_DEVICE, "name the device")
        await self._notifications.remove_device(caller.user, device)
        await caller.device_removed(device)
        return Empty()

    async def set_state(self, caller: RpcCaller, fields: q.StateFields) -> Struct:
        if not caller.device:
            raise HubError(NO_DEVICE, "connect with data.hub.device")
        await caller.set_device_state(fields.state)
        return Empty()

    async def history(self, caller: RpcCaller, fields: q.InboxHistoryFields) -> Struct:
        page = await inboxes.page_inbox(self._notifications, caller.user, fields)
        if page.acked is not None and fields.device == caller.device:
            caller.device_acked(page.acked)
        return r.inbox_of(page)

    async def read(self, caller: RpcCaller, fields: q.PositionFields) -> Struct:
        return await inboxes.read_inbox(self._notifications, caller.user, fields)

    async def ack(self, caller: RpcCaller, fields: q.AckFields) -> Struct:
        result = await inboxes.ack_inbox(self._notifications, caller.user, caller.device, fields)
        if fields.device in (None, caller.device):
            caller.device_acked(result.acked)
        return result

    async def opened(self, caller: RpcCaller, fields: q.OpenedFields) -> Struct:
        await self._notifications.opened(caller.user, fields.device or caller.device, fields.id)
        return Empty()


def _told(refused: HubError) -> HubError:
    """With its detail in the message, as over HTTP: a reply of the protocol has no other place for it."""
    error = refused.error
    if not refused.detail or error is INTERNAL:
        return refused
    return HubError(replace(error, message=f"{error.message}: {refused.detail}"), refused.detail)


def _method(kind: type[_F], act: Callable[[RpcCaller, _F], Awaitable[Any]]) -> RpcMethod:
    decoder = Decoder(kind)

    async def call(caller: RpcCaller, body: bytes) -> bytes:
        try:
            if not caller.user:
                raise HubError(PERMISSION_DENIED, "the anonymous user has no inbox and no devices")
            return _encode(await act(caller, decode_fields(decoder, body)))
        except HubError as error:
            raise _told(error) from None

    return call
