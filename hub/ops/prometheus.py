"""What happens at a node, counted for Prometheus.

Each event costs an addition; the metrics library hears of the sums when somebody looks. Labels
are of closed sets: what a client calls itself, or what a backend closes with, makes no new series.
"""

from __future__ import annotations

from typing import Final, get_args

from prometheus_client import Counter

from hub import errors
from hub.metrics import Limit
from hub.ops.exposition import Exposition

KNOWN_SDKS: Final = frozenset({"js", "python", "go", "dart", "swift", "java", "csharp"})
"""What the published SDKs call themselves in connect."""

_CLOSE_CODES = frozenset(each.code for each in vars(errors).values() if isinstance(each, errors.Disconnect))
_ERROR_CODES = frozenset(each.code for each in vars(errors).values() if isinstance(each, errors.ErrorCode))

_FAN_OUT_S = (
    0.00001,
    0.000025,
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
)
_ROUND_TRIP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Tally:
    """Additions by label values, handed to the library all at once."""

    __slots__ = ("_counter", "_counts")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str) -> None:
        """One more of these label values."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def begin(self, *labels: str) -> None:
        """Show these label values from the start, as zero: what is absent cannot be watched."""
        self._counts.setdefault(labels, 0)

    def flush(self) -> None:
        """Hand over what came since the last time."""
        counts, self._counts = self._counts, {}
        for labels, count in counts.items():
            (self._counter.labels(*labels) if labels else self._counter).inc(count)


class PrometheusMetrics:
    """Implements :class:`hub.metrics.Metrics`."""

    def __init__(self, exposition: Exposition) -> None:
        new = exposition.counter
        self._opened = Tally(
            new("hub_connections_opened", "Clients that connected and were let in.", ("sdk", "protocol"))
        )
        self._closed = Tally(
            new("hub_connections_closed", "Connections that ended, by disconnect code.", ("code",))
        )
        self._refused_handshakes = Tally(
            new("hub_handshakes_refused", "Upgrades answered with an HTTP status instead.", ("status",))
        )
        self._refused_commands = Tally(
            new("hub_commands_refused", "Commands of clients answered with an error.", ("code",))
        )
        self._recoveries = Tally(
            new("hub_recoveries", "Subscriptions that asked to resume, by what came of it.", ("result",))
        )
        self._limits = Tally(
            new("hub_limits_reached", "Times that somebody was held to a limit.", ("limit",))
        )
        self._received = new("hub_publications_received", "Publications that reached this node.")
        self._delivered = new("hub_deliveries", "Publications put into outboxes, one for each subscriber.")
        self._fan_out = exposition.histogram(
            "hub_fan_out_seconds",
            "From a publication's arrival into all outboxes; one in 16 timed.",
            _FAN_OUT_S,
        )
        self._round_trip = exposition.histogram(
            "hub_ping_round_trip_seconds", "From a ping written to its pong.", _ROUND_TRIP_S
        )
        self._connections = exposition.gauge("hub_connections", "Clients connected now.", ("sdk", "protocol"))
        self._left = exposition.gauge(
            "hub_drain_connections_left", "Connections still to leave; 0 while nothing drains."
        )
        self._received_count = 0
        self._delivered_count = 0
        self._live: dict[tuple[str, str], int] = {("other", "json"): 0}
        self._left_count = 0
        for complete in ("complete", "incomplete"):
            self._recoveries.begin(complete)
        for limit in get_args(Limit):
            self._limits.begin(limit)
        self._closed.begin(str(errors.SLOW.code))
        exposition.before_reading(self._flush)

    def connection_opened(self, sdk: str, protocol: str) -> None:
        key = (sdk if sdk in KNOWN_SDKS else "other", protocol)
        self._opened.add(*key)
        self._live[key] = self._live.get(key, 0) + 1

    def connection_closed(self, code: int, sdk: str, protocol: str) -> None:
        self._closed.add(str(code) if code in _CLOSE_CODES else "other")
        key = (sdk if sdk in KNOWN_SDKS else "other", protocol)
        self._live[key] = self._live.get(key, 0) - 1

    def publication_received(self) -> None:
        self._received_count += 1

    def publication_delivered(self, subscribers: int) -> None:
        self._delivered_count += subscribers

    def fan_out_timed(self, seconds: float) -> None:
        self._fan_out.observe(seconds)

    def recovery_finished(self, recovered: bool) -> None:
        self._recoveries.add("complete" if recovered else "incomplete")

    def command_refused(self, code: int) -> None:
        self._refused_commands.add(str(code) if code in _ERROR_CODES else "other")

    def handshake_refused(self, status: int) -> None:
        self._refused_handshakes.add(str(status))

    def ping_answered(self, round_trip_s: float) -> None:
        self._round_trip.observe(round_trip_s)

    def limit_reached(self, limit: Limit) -> None:
        self._limits.add(limit)

    def draining(self, connections_left: int) -> None:
        self._left_count = connections_left

    def _flush(self) -> None:
        self._received.inc(self._received_count)
        self._delivered.inc(self._delivered_count)
        self._received_count = self._delivered_count = 0
        for tally in (
            self._opened,
            self._closed,
            self._refused_handshakes,
            self._refused_commands,
            self._recoveries,
            self._limits,
        ):
            tally.flush()
        for labels, count in self._live.items():
            self._connections.labels(*labels).set(count)
        self._left.set(self._left_count)
