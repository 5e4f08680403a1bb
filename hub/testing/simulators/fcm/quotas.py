"""How much FCM takes: per project, per phone, and of collapsible messages. Buckets that refill with time.

Knows no message. The defaults are the documented limits; a test scales them down.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Quotas:
    """Messages that are taken; None takes any number."""

    project_per_minute: int | None = 600_000
    device_per_minute: int | None = 240
    device_per_hour: int | None = 5_000
    collapsible_burst: int | None = 20
    collapsible_refill_s: float = 180.0
    retry_after_s: int = 60

    @classmethod
    def unlimited(cls) -> Quotas:
        """No limit at all, for load."""
        return cls(None, None, None, None)


@dataclass(slots=True)
class _Bucket:
    level: float
    at_ms: int


@dataclass(slots=True)
class Meter:
    """Counts against the quotas."""

    quotas: Quotas
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)

    def exceeded(self, project: str, device: str, *, collapsible: bool, now_ms: int) -> str:
        """Whose quota this message would break; empty, and the message counted, if none."""
        quotas = self.quotas
        limits = [
            ("project", project, quotas.project_per_minute, 60.0),
            ("device", device, quotas.device_per_minute, 60.0),
            ("device hour", device, quotas.device_per_hour, 3600.0),
        ]
        if collapsible and quotas.collapsible_burst is not None:
            refill_s = quotas.collapsible_refill_s * quotas.collapsible_burst
            limits.append(("collapsible", device, quotas.collapsible_burst, refill_s))
        found: list[_Bucket] = []
        for kind, name, limit, full_after_s in limits:
            if limit is None:
                continue
            bucket = self._refilled(kind, name, limit, full_after_s, now_ms)
            if bucket.level < 1:
                return kind
            found.append(bucket)
        for bucket in found:
            bucket.level -= 1
        return ""

    def _refilled(self, kind: str, name: str, limit: int, full_after_s: float, now_ms: int) -> _Bucket:
        bucket = self._buckets.get((kind, name))
        if bucket is None:
            bucket = self._buckets[kind, name] = _Bucket(float(limit), now_ms)
        gained = (now_ms - bucket.at_ms) / 1000 * limit / full_after_s
        bucket.level = min(float(limit), bucket.level + gained)
        bucket.at_ms = now_ms
        return bucket
