"""Every key of the Redis engine, in one place: its name, its type, when it goes, and who removes it.

A key carries its partition in a hash tag, so that a script's keys share one slot of a
Cluster; ``tag`` is always the text between the braces. Knows no connection.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from hub.delivery.inbox import INBOX_PREFIX

CONTROL_TAG = "ctl"
"""Tag of what belongs to no channel and no user: nodes, control requests, schema."""


def partition_of(key_text: str, partitions: int) -> int:
    """Partition of a channel or of an inbox' owner: crc32 of its UTF-8 bytes.

    An inbox channel is where its owner is, with everything else of that user.
    """
    return zlib.crc32(key_text.removeprefix(INBOX_PREFIX).encode()) % partitions


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys and of Pub/Sub channels for one prefix and one number of partitions."""

    prefix: str
    partitions: int

    def tag_of(self, key_text: str) -> str:
        """Tag of the partition of ``key_text``, for example ``p12``."""
        return f"p{partition_of(key_text, self.partitions)}"

    def token_tag_of(self, token_hash: str) -> str:
        """Tag under which it is noted who holds a provider token, for example ``t12``."""
        return f"t{partition_of(token_hash, self.partitions)}"

    def start(self, tag: str) -> str:
        """What every key of a partition begins with; scripts of the ledger name their keys from it."""
        return f"{self.prefix}{{{tag}}}:"

    @property
    def partition_tags(self) -> list[str]:
        """Tags of all partitions, without that of the control keys."""
        return [f"p{number}" for number in range(self.partitions)]

    # connections

    def term(self, tag: str) -> str:
        """Hash ``run``, ``term``: which reign of a primary served the partition last, counted.

        Never expires: without it an offset could be used twice. Written by ``adopt.lua``.
        """
        return f"{self.prefix}{{{tag}}}:term"

    def probe(self, tag: str, node_id: str) -> str:
        """String, and the Pub/Sub channel of the same name, by which a node probes its link.

        Expires by itself a minute after the last probe.
        """
        return f"{self.prefix}{{{tag}}}:probe:{node_id}"

    # streams

    def log(self, tag: str, channel: str) -> str:
        """Stream of kept publications, ids ``<offset>-0``. Expires the policy's ttl after the last append."""
        return f"{self.prefix}{{{tag}}}:log:{channel}"

    def meta(self, tag: str, channel: str) -> str:
        """Hash with epoch and top offset of a channel, the only place of them. Expires after the log."""
        return f"{self.prefix}{{{tag}}}:meta:{channel}"

    def idempotency(self, tag: str, channel: str, key: str) -> str:
        """String: the answer that the first publish with this key got. Expires with the key's ttl.

        The length keeps channel ``a`` with key ``b:c`` apart from channel ``a:b`` with key ``c``.
        """
        return f"{self.prefix}{{{tag}}}:idem:{len(channel)}:{channel}:{key}"

    def version(self, tag: str, channel: str, version_epoch: str) -> str:
        """String: the greatest version published in the channel. Expires the policy's meta_ttl after it."""
        return f"{self.prefix}{{{tag}}}:version:{len(channel)}:{channel}:{version_epoch}"

    def fanout(self, tag: str, channel: str) -> str:
        """Pub/Sub channel (no key) by which nodes hear publications, joins and leaves of a channel."""
        return f"{self.prefix}{{{tag}}}:ch:{channel}"

    # presence

    def presence(self, tag: str, channel: str) -> str:
        """Hash client -> entry (lease, user, infos): who is in a channel.

        Never expires: an entry is removed by the node that added it, or by any node's janitor
        once the lease that owns it is gone; the last one takes the key with it.
        """
        return f"{self.prefix}{{{tag}}}:presence:{channel}"

    def presence_users(self, tag: str, channel: str) -> str:
        """Hash user -> number of connections in a channel. Never expires; goes with :meth:`presence`."""
        return f"{self.prefix}{{{tag}}}:users:{channel}"

    def owned(self, tag: str, lease: str) -> str:
        """Set of ``client\\nchannel``: entries of presence that a lease owns in this partition.

        Never expires; goes with the entries, hence with the lease at the latest.
        """
        return f"{self.prefix}{{{tag}}}:owned:{lease}"

    def owners(self, tag: str) -> str:
        """Set of the leases that own anything in this partition. Never expires; removed as :meth:`owned`."""
        return f"{self.prefix}{{{tag}}}:owners"

    # users and devices; an owner is a user's id as keys carry it

    def user(self, tag: str, owner: str) -> str:
        """Hash: devices, read watermark, bounds of what is owed to a user. Expires 400 days after its use."""
        return f"{self.prefix}{{{tag}}}:user:{owner}"

    def device(self, tag: str, owner: str, device: str) -> str:
        """Hash: an installed app, what it was sent, proved and is owed. Expires 400 days after its last use.

        No device id holds a colon, so the key can be taken apart from its end.
        """
        return f"{self.prefix}{{{tag}}}:device:{owner}:{device}"

    def due(self, tag: str, lane: str) -> str:
        """Sorted set ``<owner>:<device>`` -> ms when a worker may push what is owed.

        Never expires; goes with its last row, of which each is removed when nothing is owed to it.
        """
        return f"{self.prefix}{{{tag}}}:due:{lane}"

    def seen(self, tag: str, owner: str, notification: str) -> str:
        """String: where a notification went, its body's hash, whether it was withdrawn. Expires after 7 days.

        The length keeps user ``a`` with id ``b:c`` apart from user ``a:b`` with id ``c``.
        """
        return f"{self.prefix}{{{tag}}}:seen:{len(owner)}:{owner}:{notification}"

    def trace(self, tag: str, owner: str, notification: str) -> str:
        """List of marks: what became of a notification. Expires ``trace_ttl`` after the newest."""
        return f"{self.prefix}{{{tag}}}:trace:{len(owner)}:{owner}:{notification}"

    def dead(self, tag: str, lane: str) -> str:
        """Stream of dead letters. Expires 7 days after the newest; older ones go with the next."""
        return f"{self.prefix}{{{tag}}}:dead:{lane}"

    def dead_lanes(self, tag: str) -> str:
        """Set of the lanes that have dead letters. Expires 7 days after the newest letter."""
        return f"{self.prefix}{{{tag}}}:dead-lanes"

    def wake(self, tag: str) -> str:
        """Pub/Sub channel (no key) by which workers hear ``<lane> <ms>``: something is due earlier than was.

        An empty lane (`` 0``) says that a job waits.
        """
        return f"{self.prefix}{{{tag}}}:wake"

    def token(self, token_tag: str, token_hash: str) -> str:
        """Set of ``<owner>:<device>:<nonce>``: registrations that may hold a provider token.

        Expires when the row of the last one has. More than one only while a phone changes hands.
        """
        return f"{self.prefix}{{{token_tag}}}:token:{token_hash}"

    # calls of notify; those of users have a partition by the user, these by the notification's id

    def notice(self, tag: str, notice_id: str) -> str:
        """Hash: one call of notify, how far it has come. Expires 7 days after it was made."""
        return f"{self.prefix}{{{tag}}}:notice:{notice_id}"

    def notice_users(self, tag: str, notice_id: str) -> str:
        """List of JSON: whom a call is for, a piece for each step. Expires as the call."""
        return f"{self.prefix}{{{tag}}}:notice-users:{notice_id}"

    def jobs(self, tag: str) -> str:
        """Sorted set ``j<notice id>`` or ``p<post>`` -> ms from which a worker may take its next step.

        Never expires; goes with its last job, and what names a call that is gone is dropped when it is met.
        """
        return f"{self.prefix}{{{tag}}}:jobs"

    def post(self, tag: str, nonce: str) -> str:
        """List: a call that a publication took along, until it is noted. Expires after 7 days."""
        return f"{self.prefix}{{{tag}}}:post:{nonce}"

    def lane(self, lane: str) -> str:
        """Hash: breaker and provider token of a lane. Never expires: there are as many as apps."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:lane:{lane}"

    def secret(self, name: str) -> str:
        """String: random bytes that all share. Never expires: what was signed with it must stay good."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:secret:{name}"

    # who is kept out

    @property
    def revocations(self) -> str:
        """Hash ``<kind>:<subject>`` -> number, end, bound; ``epoch``, ``number``: who is kept out.

        Never expires; a rule whose time is over goes with the next change.
        """
        return f"{self.prefix}{{{CONTROL_TAG}}}:revocations"

    @property
    def revocation_order(self) -> str:
        """Sorted set ``<kind>:<subject>`` -> number of its last change. Never expires; as the hash."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:revocation-order"

    @property
    def revocation_ends(self) -> str:
        """Sorted set ``<kind>:<subject>`` -> ms when it may be forgotten. Never expires; as the hash."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:revocation-ends"

    # nodes

    @property
    def nodes(self) -> str:
        """Sorted set lease -> its end in ms: who lives.

        Never expires: an expired lease is taken out by any node that looks at the leases.
        """
        return f"{self.prefix}{{{CONTROL_TAG}}}:nodes"

    @property
    def node_info(self) -> str:
        """Hash lease -> description of its node, JSON. Never expires; goes with the lease."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:node-info"

    @property
    def grace(self) -> str:
        """String, ms: until then no lease is taken out, since all ran out at once. Expires soon after."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:grace"

    @property
    def control(self) -> str:
        """Pub/Sub channel (no key) by which a node asks all nodes."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:control"

    def reply(self, node_id: str) -> str:
        """Pub/Sub channel (no key) by which a node gets answers."""
        return f"{self.prefix}{{{CONTROL_TAG}}}:reply:{node_id}"

    @property
    def schema(self) -> str:
        """Hash ``schema``, ``partitions``, ``policy``, ``options``, ``most_partitions``.

        What all who use these keys must agree on. Never expires; replaced by the first hub that
        starts while no other lives.
        """
        return f"{self.prefix}{{{CONTROL_TAG}}}:schema"
