"""Entries of presence as they lie in Redis, and the two scripts that count clients in and out.

Each entry is owned by the lease of the node that added it. Keeps no state of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.scripts import load_script
from hub.model import ClientInfo

BATCH_COUNT = 100
"""Clients that one script call counts in or out: more would keep everybody else in Redis waiting."""

Seat: TypeAlias = "tuple[str, str]"
"""A channel and a client in it."""

ADD = load_script("presence_entry", "presence_add")
REMOVE = load_script("presence_entry", "presence_remove")

_encode_infos = msgspec.msgpack.Encoder().encode
_decode_infos = msgspec.msgpack.Decoder(tuple[bytes | None, bytes | None]).decode


def encode_member(lease: str, info: ClientInfo) -> bytes:
    """An entry, in the form that ``presence_entry.lua`` describes."""
    user = info.user.encode()
    infos = _encode_infos((info.conn_info, info.chan_info))
    return b"%b\n%d\n%b%b" % (lease.encode(), len(user), user, infos)


def decode_member(client: str, entry: bytes) -> ClientInfo:
    """Who an entry speaks of.

    Raises:
        ValueError: for bytes that no hub wrote.
    """
    _, user_bytes, rest = entry.split(b"\n", 2)
    end = int(user_bytes)
    conn_info, chan_info = _decode_infos(rest[end:])
    return ClientInfo(rest[:end].decode(), client, conn_info, chan_info)


def name_of(seat: Seat) -> str:
    """How a seat is named among what a lease owns. Client ids hold no line break."""
    channel, client = seat
    return f"{client}\n{channel}"


def seat_of(name: bytes) -> Seat:
    """The other direction."""
    client, _, channel = name.decode().partition("\n")
    return channel, client


async def add_members(
    commands: Commands, keys: Keys, tag: str, lease: str, members: Iterable[tuple[Seat, ClientInfo]]
) -> None:
    """Count clients in, owned by ``lease``. All channels are of the partition ``tag``.

    Raises:
        EngineUnavailable: whether it was done is unknown; it may be done again.
    """
    names = [keys.owned(tag, lease), keys.owners(tag)]
    arguments: list[str | bytes] = [lease]
    for seat, info in members:
        channel, client = seat
        names += (keys.presence(tag, channel), keys.presence_users(tag, channel))
        arguments += (client, name_of(seat), info.user, encode_member(lease, info))
    await commands.run(tag, ADD, names, arguments)


async def remove_members(
    commands: Commands, keys: Keys, tag: str, lease: str, seats: Iterable[Seat], *, only_owned: bool
) -> None:
    """Count clients out; ``only_owned`` spares entries that belong to another lease by now.

    Without seats it only sees to it that a lease which owns nothing is not listed as an owner.

    Raises:
        EngineUnavailable: whether it was done is unknown; it may be done again.
    """
    names = [keys.owned(tag, lease), keys.owners(tag)]
    arguments = [lease, "owned" if only_owned else ""]
    for seat in seats:
        channel, client = seat
        names += (keys.presence(tag, channel), keys.presence_users(tag, channel))
        arguments += (client, name_of(seat))
    await commands.run(tag, REMOVE, names, arguments)
