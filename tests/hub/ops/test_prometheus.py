"""What a node counts: every event once, under labels of closed sets."""

from __future__ import annotations

from hub.errors import CONNECTION_CLOSED, SLOW, UNKNOWN_CHANNEL
from hub.ops.exposition import Exposition
from hub.ops.prometheus import PrometheusMetrics
from tests.support.prometheus import parse


def test_what_a_client_calls_itself_makes_no_new_series() -> None:
    """Whatever it says, and however many say something else."""
    exposition = Exposition("")
    metrics = PrometheusMetrics(exposition)
    metrics.connection_opened("js", "json")
    for number in range(100):
        metrics.connection_opened(f"mine-{number}", "protobuf")
    page = parse(exposition.page())
    assert page.sum("hub_connections_opened_total", sdk="js", protocol="json") == 1
    assert page.sum("hub_connections_opened_total", sdk="other", protocol="protobuf") == 100
    assert page.sum("hub_connections_opened_total") == 101


def test_connections_are_those_that_are_there() -> None:
    """Opened ones without those that ended, whatever ended them."""
    exposition = Exposition("")
    metrics = PrometheusMetrics(exposition)
    for _ in range(3):
        metrics.connection_opened("dart", "protobuf")
    metrics.connection_closed(CONNECTION_CLOSED.code, "dart", "protobuf")
    metrics.connection_closed(SLOW.code, "dart", "protobuf")
    metrics.connection_closed(4321, "dart", "protobuf")
    metrics.connection_opened("dart", "protobuf")
    page = parse(exposition.page())
    assert page.sum("hub_connections", sdk="dart", protocol="protobuf") == 1
    assert page.sum("hub_connections_closed_total", code=str(SLOW.code)) == 1
    assert page.sum("hub_connections_closed_total", code="other") == 1


def test_every_event_is_counted_once() -> None:
    """Also when the page was read in between."""
    exposition = Exposition("")
    metrics = PrometheusMetrics(exposition)
    for _ in range(2):
        metrics.publication_received()
        metrics.publication_delivered(1_000)
        metrics.fan_out_timed(0.002)
        metrics.recovery_finished(True)
        metrics.recovery_finished(False)
        metrics.command_refused(UNKNOWN_CHANNEL.code)
        metrics.command_refused(31_337)
        metrics.handshake_refused(503)
        metrics.ping_answered(0.04)
        metrics.limit_reached("channels")
        exposition.page()
    page = parse(exposition.page())
    assert page.sum("hub_publications_received_total") == 2
    assert page.sum("hub_deliveries_total") == 2_000
    assert page.sum("hub_fan_out_seconds_count") == 2
    assert page.sum("hub_fan_out_seconds_bucket", le="0.0025") == 2
    assert page.sum("hub_recoveries_total", result="complete") == 2
    assert page.sum("hub_recoveries_total", result="incomplete") == 2
    assert page.sum("hub_commands_refused_total", code=str(UNKNOWN_CHANNEL.code)) == 2
    assert page.sum("hub_commands_refused_total", code="other") == 2
    assert page.sum("hub_handshakes_refused_total", status="503") == 2
    assert page.sum("hub_ping_round_trip_seconds_count") == 2
    assert page.sum("hub_limits_reached_total", limit="channels") == 2


def test_what_never_happened_can_be_watched() -> None:
    """A series that begins with its first event hides that event from a rate."""
    exposition = Exposition("")
    PrometheusMetrics(exposition)
    page = parse(exposition.page())
    known = {(name, tuple(labels.values())) for name, labels, _ in page.samples}
    assert ("hub_limits_reached_total", ("connect_rate",)) in known
    assert ("hub_recoveries_total", ("incomplete",)) in known
    assert ("hub_connections_closed_total", ("3008",)) in known


def test_a_drain_shows_who_is_left() -> None:
    """As it was told last."""
    exposition = Exposition("")
    metrics = PrometheusMetrics(exposition)
    metrics.draining(250)
    assert parse(exposition.page()).sum("hub_drain_connections_left") == 250
    metrics.draining(0)
    assert parse(exposition.page()).sum("hub_drain_connections_left") == 0
