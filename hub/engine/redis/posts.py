"""A job on its way: what a publication takes along, in the partition of its channel.

Only there can it be queued in the publication's own step; its first claim moves it to where it belongs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from hub.engine.jobs import JOB_STEP_USERS, MAX_JOBS, NOTICE_TTL_S, NewNotice
from hub.engine.redis.commands import Argument
from hub.engine.redis.keys import Keys

_NONCE_BYTES = 12

POST = b"p"
JOB = b"j"
"""What the members of the jobs begin with."""


def pack_users(users: Sequence[str]) -> list[bytes]:
    """Users as they are kept, the users of a step in each piece."""
    return [
        json.dumps(users[start : start + JOB_STEP_USERS]).encode()
        for start in range(0, len(users), JOB_STEP_USERS)
    ]


def unpack_users(piece: bytes) -> list[str]:
    """The users of one step."""
    users: list[str] = json.loads(piece)
    return users


def pack_post(notice: NewNotice) -> list[Argument]:
    """A notice in parts."""
    return [notice.id, notice.body_hash, notice.body, len(notice.users), *pack_users(list(notice.users))]


def unpack_post(parts: Sequence[bytes]) -> NewNotice:
    """What :func:`pack_post` was given, as a job."""
    name, body_hash, body, _, *pieces = parts
    users = [user for piece in pieces for user in unpack_users(piece)]
    return NewNotice(name.decode(), body_hash.decode(), body, users, as_job=True)


def post_keys(keys: Keys, tag: str) -> tuple[str, list[str]]:
    """A new member of the jobs, and the keys that the publish script needs for it."""
    nonce = secrets.token_hex(_NONCE_BYTES)
    return f"p{nonce}", [keys.jobs(tag), keys.post(tag, nonce), keys.wake(tag)]


def post_arguments(member: str, notice: NewNotice) -> list[Argument]:
    """What the publish script needs to queue it."""
    return [MAX_JOBS, member, NOTICE_TTL_S * 1000, *pack_post(notice)]
