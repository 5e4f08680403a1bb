"""The moment of one event, and what it leaves behind besides changed rows.

Knows no rule: rules read a moment and fill effects, an engine carries them out.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from hub.delivery.model import EntryTerms, Event, Mark
from hub.delivery.options import DeliveryOptions

_KEPT_WITHOUT_FULL_TRACE: frozenset[Event] = frozenset(
    ("accepted", "proven", "pushed", "dropped", "read", "opened", "withdrawn", "expired")
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event happens. ``live_nodes`` are the nodes known to live; none known counts as all alive."""

    now_ms: int
    options: DeliveryOptions
    live_nodes: AbstractSet[str] = frozenset()

    def lives(self, node: str) -> bool:
        """Whether a node may be taken to be alive."""
        return not self.live_nodes or node in self.live_nodes

    @property
    def ack_wait_ms(self) -> int:
        """See :class:`DeliveryOptions`."""
        return round(self.options.ack_wait_s * 1000)

    @property
    def grace_ms(self) -> int:
        """See :class:`DeliveryOptions`."""
        return round(self.options.grace_s * 1000)

    @property
    def max_defer_ms(self) -> int:
        """See :class:`DeliveryOptions`."""
        return round(self.options.max_defer_s * 1000)

    @property
    def claim_ms(self) -> int:
        """See :class:`DeliveryOptions`."""
        return round(self.options.claim_s * 1000)

    @property
    def again_ms(self) -> int:
        """See :class:`DeliveryOptions`."""
        return round(self.options.again_s * 1000)

    @property
    def badge_delay_ms(self) -> int:
        """See :class:`DeliveryOptions`."""
        return round(self.options.badge_delay_s * 1000)


@dataclass(slots=True)
class Effects:
    """What to carry out after an event: ``messages`` for the inbox channel (not stored), marks of traces."""

    messages: list[bytes] = field(default_factory=list)
    marks: list[tuple[str, Mark]] = field(default_factory=list)

    def mark(self, terms: EntryTerms, mark: Mark) -> None:
        """A mark on a notification; of a large call only those of the end are kept."""
        self.mark_id(terms.id, mark, full_trace=terms.full_trace)

    def mark_id(self, notification: str, mark: Mark, *, full_trace: bool) -> None:
        """As :meth:`mark`, where only the id is known."""
        if full_trace or mark.event in _KEPT_WITHOUT_FULL_TRACE:
            self.marks.append((notification, mark))
