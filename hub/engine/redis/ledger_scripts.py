"""The scripts of the ledger, made for one set of delays, and how they are run in a user's partition.

Knows what every such script is given, and none of their meanings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hub.delivery.inbox import INBOX_POLICY, inbox_owner
from hub.delivery.options import MAX_TRACE_MARKS, SEEN_TTL_S, DeliveryOptions
from hub.delivery.rows import MAX_SHOWN
from hub.engine.redis.commands import Argument, Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.live_nodes import NodesAlive
from hub.engine.redis.scripts import Script, load_script
from hub.engine.redis.stream_writer import life_s, new_birth

DEAD_TTL_S = 7 * 86_400
"""How long dead letters are kept."""

_ROW_FIELDS = (
    "lane",
    "hash",
    "token_ms",
    "pending",
    "nonce",
    "birth",
    "acked",
    "pushed",
    "sent",
    "again",
    "shown",
    "clear",
    "badge_want",
    "badge_sent",
    "p0",
    "claim",
    "claim_until",
    "target",
    "attempts",
    "generation",
    "node",
    "client",
    "state",
    "online",
    "left_ms",
    "left_how",
    "last_seen",
    "until",
)
"""What scripts read of a device's row at once."""

_NAMES = (
    "notify",
    "plan",
    "hello",
    "device_state",
    "leave",
    "ack",
    "inbox_read",
    "opened",
    "withdraw",
    "summary",
    "claim",
    "finish",
    "forget",
    "dead_replay",
    "register_row",
    "register_clear",
    "register_activate",
    "device_remove",
    "device_view",
)


@lru_cache
def ledger_scripts(options: DeliveryOptions) -> dict[str, Script]:
    """All scripts that work on users, by name. Delays are part of their text: no call carries them."""
    numbers = {
        "ACK_WAIT_MS": round(options.ack_wait_s * 1000),
        "GRACE_MS": round(options.grace_s * 1000),
        "MAX_DEFER_MS": round(options.max_defer_s * 1000),
        "CLAIM_MS": round(options.claim_s * 1000),
        "AGAIN_MS": round(options.again_s * 1000),
        "BADGE_DELAY_MS": round(options.badge_delay_s * 1000),
        "DEVICES_PER_USER": options.devices_per_user,
        "TRACE_TTL_S": options.trace_ttl_s,
        "MAX_GROUPS": options.max_groups,
        "MAX_TRACE_MARKS": MAX_TRACE_MARKS,
        "MAX_SHOWN": MAX_SHOWN,
        "SEEN_TTL_S": SEEN_TTL_S,
        "DEAD_TTL_S": DEAD_TTL_S,
        "INBOX_SIZE": INBOX_POLICY.size,
        "INBOX_TTL_S": INBOX_POLICY.ttl_s,
        "INBOX_LIFE_S": life_s(INBOX_POLICY),
        "INBOX_LIFE_MS": life_s(INBOX_POLICY) * 1000,
        "ROW_FIELD_COUNT": len(_ROW_FIELDS),
    }
    constants = {name: str(number) for name, number in numbers.items()}
    constants["BACKGROUND_COUNTS"] = str(options.background_counts).lower()
    constants["ROW_FIELDS"] = ", ".join(f"'{field}'" for field in _ROW_FIELDS)
    # In a script a field is a place in the row, by its name in capitals.
    constants |= {field.upper(): str(place) for place, field in enumerate(_ROW_FIELDS, 1)}
    return {name: load_script("clock", "stream", "ledger", name, constants=constants) for name in _NAMES}


class UserScripts:
    """Runs scripts of the ledger where a user is. ``now_ms`` replaces the server's clock, for tests alone."""

    def __init__(
        self,
        commands: Commands,
        keys: Keys,
        nodes: NodesAlive,
        options: DeliveryOptions,
        *,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.commands = commands
        self.keys = keys
        self._nodes = nodes
        self._scripts = ledger_scripts(options)
        self._now_ms = now_ms

    def now(self) -> int | str:
        """What scripts are told of the time: nothing, so that they ask the server, one clock for all."""
        return "" if self._now_ms is None else self._now_ms()

    async def run(self, user: str, name: str, *args: Argument, repeatable: bool = False) -> Any:
        """Run the script ``name`` for ``user``; as :meth:`Commands.run`."""
        return await self.run_for(inbox_owner(user), name, *args, repeatable=repeatable)

    async def run_for(self, owner: str, name: str, *args: Argument, repeatable: bool = False) -> Any:
        """As :meth:`run`, for the user that keys name ``owner``."""
        tag = self.keys.tag_of(owner)
        return await self.run_at(tag, name, self.keys.user(tag, owner), owner, *args, repeatable=repeatable)

    async def run_at(self, tag: str, name: str, key: str, *args: Argument, repeatable: bool = False) -> Any:
        """Run the script ``name`` with ``key`` in the partition ``tag``."""
        live = self._nodes.fresh
        if live is None:
            live = await self._nodes.read()
        if live:
            live = f"{self._nodes.age_ms}{live}"
        commands = self.commands
        shared = (self.now(), self.keys.start(tag), commands.publish_verb, new_birth(), live)
        return await commands.run(tag, self._scripts[name], (key,), (*shared, *args), repeatable=repeatable)
