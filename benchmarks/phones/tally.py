"""What was said, seen and pushed, and the table that comes of it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Notice:
    """One notification on its way to one device. Times are seconds of one clock; None: never."""

    said_at_s: float
    was_away: bool
    seen_at_s: float | None = None
    pushed_at_s: float | None = None
    pushes: int = 0
    pushes_after_seen: int = 0
    frames: int = 0

    @property
    def noticed_at_s(self) -> float | None:
        """When the phone first knew of it, one way or the other."""
        times = [at_s for at_s in (self.seen_at_s, self.pushed_at_s) if at_s is not None]
        return min(times, default=None)


@dataclass(slots=True)
class Tally:
    """Every notice of a run, by device and inbox offset."""

    deadline_s: float
    notices: dict[tuple[str, int], Notice] = field(default_factory=dict)
    early: dict[tuple[str, int], list[tuple[str, float]]] = field(default_factory=dict)
    """What came before the call that said it was answered."""

    def said(self, device: str, offset: int, at_s: float, was_away: bool) -> None:
        """A notification is owed to a device."""
        self.notices[device, offset] = Notice(at_s, was_away)
        for way, when_s in self.early.pop((device, offset), ()):
            (self.seen if way == "seen" else self.pushed)(device, offset, when_s)

    def seen(self, device: str, offset: int, at_s: float) -> None:
        """Its app got it over the socket, in the foreground."""
        notice = self.notices.get((device, offset))
        if notice is None:
            self.early.setdefault((device, offset), []).append(("seen", at_s))
            return
        notice.frames += 1
        if notice.seen_at_s is None:
            notice.seen_at_s = at_s

    def pushed(self, device: str, offset: int, at_s: float) -> None:
        """The provider took a push that tells of it."""
        notice = self.notices.get((device, offset))
        if notice is None:
            self.early.setdefault((device, offset), []).append(("pushed", at_s))
            return
        notice.pushes += 1
        notice.pushes_after_seen += notice.seen_at_s is not None
        if notice.pushed_at_s is None:
            notice.pushed_at_s = at_s

    def rows(self, scale: float) -> Iterator[tuple[str, str]]:
        """The table, with times as they would be unscaled."""
        every = list(self.notices.values())
        count = len(every)
        late = [n for n in every if n.noticed_at_s is None or n.noticed_at_s - n.said_at_s > self.deadline_s]
        never = sum(n.noticed_at_s is None for n in every)
        away = sorted(
            n.noticed_at_s - n.said_at_s for n in every if n.was_away and n.noticed_at_s is not None
        )
        live = sorted(
            n.noticed_at_s - n.said_at_s for n in every if not n.was_away and n.noticed_at_s is not None
        )
        by_socket = sum(n.seen_at_s is not None and not n.pushes for n in every)
        by_push = sum(n.pushes > 0 and n.seen_at_s is None for n in every)
        after = sum(n.pushes_after_seen > 0 for n in every)
        twice = sum(n.pushes > 1 for n in every)
        frames_twice = sum(n.frames > 1 for n in every)
        yield "device-notifications", f"{count}"
        yield f"no notice within {self.deadline_s / scale:g} s", f"{len(late)}  ({_share(len(late), count)})"
        yield "  of these never", f"{never}"
        yield "push after the user had seen it", f"{after}  ({_share(after, count)})"
        yield "p95 to notice when away", f"{_quantile(away, 0.95) / scale:.1f} s  (of {len(away)})"
        yield "p95 to notice when live", f"{_quantile(live, 0.95) / scale:.2f} s  (of {len(live)})"
        yield "socket alone / push alone", f"{_share(by_socket, count)} / {_share(by_push, count)}"
        yield "pushed more than once", f"{twice}  ({_share(twice, count)})"
        yield "given again to an app without cursor", f"{frames_twice}"

    @property
    def missed(self) -> int:
        """Notices that came too late, or never."""
        return sum(
            n.noticed_at_s is None or n.noticed_at_s - n.said_at_s > self.deadline_s
            for n in self.notices.values()
        )

    @property
    def after_seen_share(self) -> float:
        """Pushes that told what the user had seen."""
        count = len(self.notices)
        return sum(n.pushes_after_seen > 0 for n in self.notices.values()) / count if count else 0.0


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def _quantile(ordered: list[float], share: float) -> float:
    if len(ordered) < 2:
        return ordered[0] if ordered else 0.0
    return statistics.quantiles(ordered, n=100, method="inclusive")[round(share * 100) - 1]
