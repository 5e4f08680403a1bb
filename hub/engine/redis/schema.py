"""What everybody who shares these keys must agree on, written where all of them find it.

Another number of partitions looks for channels under other keys; another policy keeps the
same channel differently. Neither shows as an error later on, so both are refused at start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.leases import NodeLeases
from hub.engine.redis.scripts import load_script
from hub.errors import EngineUnavailable

SCHEMA = 1
"""How keys and entries look. Neighbours run side by side while hubs are replaced one by one."""

Policy = Mapping[str, Mapping[str, Any]]
"""Options by namespace, the empty name for channels without one; JSON-ready.

Options that have their default are best left out: then a hub that knows a new option
agrees with one that does not.
"""

_CLAIM = load_script("clock", "lease", "schema_claim")


class SchemaMismatch(ValueError):
    """Somebody else who shares these keys does otherwise. The text says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds now. ``most_partitions`` is the highest number of partitions that ever held here."""

    schema: int
    partitions: int
    policy: str
    namespaces: Policy
    most_partitions: int


def policy_text(namespaces: Policy) -> bytes:
    """The options in the one form that is compared."""
    return orjson.dumps(
        {name: dict(options) for name, options in namespaces.items()}, option=orjson.OPT_SORT_KEYS
    )


def policy_hash(text: bytes) -> str:
    """The short name of a policy: SHA-256, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


async def join_hubs(
    commands: Commands, keys: Keys, namespaces: Policy, leases: NodeLeases, *, replace_policy: bool = False
) -> Agreement:
    """Agree with the living nodes, or decide where there are none, before ``leases`` is started.

    The first lease is taken in the same step. ``replace_policy`` lets this hub's policy take
    the place of another one although nodes with that one live.

    Raises:
        SchemaMismatch: living nodes do otherwise; nothing was changed.
        EngineUnavailable: Redis did not answer.
    """
    length_ms = str(round(leases.lease_s * 1000))
    return await _claim(commands, keys, namespaces, leases.next_name, length_ms, replace_policy)


async def renew_agreement(
    commands: Commands, keys: Keys, namespaces: Policy, leases: NodeLeases, *, replace_policy: bool = False
) -> Agreement:
    """Write it again after a lost lease showed that Redis may have been emptied.

    ``replace_policy`` is for a node that changes its own on purpose while the others still have theirs.

    Raises:
        SchemaMismatch: other nodes agreed on something else meanwhile; nothing was changed.
        EngineUnavailable: Redis did not answer.
    """
    return await _claim(commands, keys, namespaces, leases.current, "", replace_policy)


async def _claim(
    commands: Commands, keys: Keys, namespaces: Policy, lease: str, length_ms: str, replace_policy: bool
) -> Agreement:
    text = policy_text(namespaces)
    wanted = Agreement(SCHEMA, keys.partitions, policy_hash(text), namespaces, keys.partitions)
    replace = "replace" if replace_policy else ""
    verdict, others, *fields = await commands.run(
        CONTROL_TAG,
        _CLAIM,
        [keys.schema, keys.nodes, keys.grace],
        [SCHEMA, keys.partitions, wanted.policy, text, lease, replace, "", length_ms],
    )
    held = agreement_of(fields)
    if held is None:
        raise EngineUnavailable("the schema in Redis cannot be read")
    if verdict != b"ok":
        raise SchemaMismatch(_complaint(wanted, held, others))
    return held


async def read_schema(commands: Commands, keys: Keys, partitions: int | None = None) -> Agreement | None:
    """What the hubs agreed on, for those who work beside them; None when no hub ever started here.

    Whoever insists on a number of partitions says so; whoever does not takes that of the hubs.
    Looks at control keys only: ``keys`` may know no partition yet.

    Raises:
        SchemaMismatch: the hubs do what the caller cannot do, or have other partitions.
        EngineUnavailable: Redis did not answer.
    """
    fields = await commands.call(
        CONTROL_TAG,
        "HMGET",
        keys.schema,
        *("schema", "partitions", "policy", "options", "most_partitions"),
        repeatable=True,
    )
    held = agreement_of(fields)
    if held is None:
        return None
    differences = _differences_of_keys(SCHEMA, held.partitions if partitions is None else partitions, held)
    if differences:
        raise SchemaMismatch(
            f"The hubs on this Redis do otherwise than this process: {'; '.join(differences)}. "
            "Give it the partitions of the hubs, or install the version that they run."
        )
    return held


def agreement_of(fields: list[bytes | None]) -> Agreement | None:
    """What the hash of the schema says, its fields in that order; None when it is not there."""
    schema, partitions, policy, options, most_partitions = fields
    if schema is None or partitions is None or policy is None or options is None:
        return None
    most = int(most_partitions) if most_partitions is not None else int(partitions)
    return Agreement(int(schema), int(partitions), policy.decode(), orjson.loads(options), most)


def differences_between(partitions: int, namespaces: Policy, held: Agreement) -> list[str]:
    """In which words a hub of this version with these settings would be refused; none when it would not."""
    ours = policy_hash(policy_text(namespaces))
    of_policy = [] if ours == held.policy else _differences_of_policy(namespaces, held.namespaces)
    return [*_differences_of_keys(SCHEMA, partitions, held), *of_policy]


def _differences_of_keys(schema: int, partitions: int, held: Agreement) -> list[str]:
    found: list[str] = []
    if abs(schema - held.schema) > 1:
        found.append(f"schema {schema} here, {held.schema} there")
    if partitions != held.partitions:
        found.append(f"partitions {partitions} here, {held.partitions} there")
    return found


def _complaint(wanted: Agreement, held: Agreement, others: int) -> str:
    of_keys = _differences_of_keys(wanted.schema, wanted.partitions, held)
    of_policy = _differences_of_policy(wanted.namespaces, held.namespaces)
    nodes = "1 living hub" if others == 1 else f"{others} living hubs"
    told = "; ".join([*of_keys, *of_policy])
    if of_keys:
        advice = (
            "Use the same settings, stop those hubs first (a hub that crashed counts as living until its "
            "lease runs out), or give this one a prefix of its own."
        )
    else:
        advice = (
            "Use the same settings, or start this hub with replace_policy to change them deliberately "
            "and then restart the others with the new ones."
        )
    return f"This hub differs from {nodes} on the same Redis and prefix: {told}. {advice}"


def _differences_of_policy(wanted: Policy, held: Policy) -> list[str]:
    found: list[str] = []
    for name in sorted(wanted.keys() | held.keys()):
        place = f"namespace {name}" if name else "channels without a namespace"
        ours, theirs = wanted.get(name), held.get(name)
        if ours is None or theirs is None:
            found.append(f"{place} only {'there' if ours is None else 'here'}")
            continue
        options = sorted(
            option
            for option in ours.keys() | theirs.keys()
            if (option in ours) != (option in theirs) or ours.get(option) != theirs.get(option)
        )
        if options:
            found.append(f"{place}: {', '.join(options)}")
    return found
