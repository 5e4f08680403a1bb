"""Windows, limits and goodbyes of the HTTP/2 server, by a client that counts along."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import orjson
import pytest

from hub.testing.simulators import ApnsSimulator, Fault
from tests.hub.testing.simulators.apns.asking import BODY, TOKEN, headers
from tests.support.http2_client import Http2Client, http2_client
from tests.support.waiting import eventually

FOUR_KIB = orjson.dumps({"aps": {"alert": "x" * 4060}})


@pytest.fixture
async def apns() -> AsyncIterator[ApnsSimulator]:
    """One that runs."""
    async with ApnsSimulator() as simulator:
        yield simulator


@pytest.fixture
async def client(apns: ApnsSimulator) -> AsyncIterator[Http2Client]:
    """Connected to it."""
    async with http2_client(apns.port, apns.client_context()) as connected:
        yield connected


async def test_the_first_settings_are_those_of_the_gateway(client: Http2Client) -> None:
    """Streams, window, frame and header list; the windows are the standard's."""
    settings = client.wire.remote_settings
    assert settings.max_concurrent_streams == 1000
    assert settings.initial_window_size == 65_535
    assert settings.max_frame_size == 16_384
    assert settings.max_header_list_size == 8000
    assert client.wire.outbound_flow_control_window == 65_535


async def test_a_client_that_minds_the_windows_gets_everything_through(
    apns: ApnsSimulator, client: Http2Client
) -> None:
    """Ten times the window in bodies of 4 kB."""
    good = headers(apns)
    streams = [await client.patiently(good, FOUR_KIB) for _ in range(160)]
    assert {answer.status for answer in await client.all_finished(streams)} == {200}
    assert apns.violations == []


async def test_more_bytes_than_the_window_end_the_connection(
    apns: ApnsSimulator, client: Http2Client
) -> None:
    """The violation is named, and nothing of it is accepted."""
    stream = client.begin(headers(apns), end=False)
    for _ in range(5):
        client.force(stream, b"x" * 16_384, end=False)
    await client.until(lambda: client.closed)
    assert "FlowControlError" in apns.violations[0]
    assert len(client.goaways) == 1
    assert len(apns.ledger) == 0


async def test_bodies_stop_when_the_client_opens_no_window(apns: ApnsSimulator, client: Http2Client) -> None:
    """After 65,535 bytes of errors the next body waits, and comes as soon as there is room."""
    client.acknowledge = False
    bad = headers(apns, "zz")
    size = len(b'{"reason":"BadDeviceToken"}')
    for _ in range(65_535 // size):
        assert (await client.ask(bad, BODY)).ended
    stuck = client.begin(bad, BODY)
    await client.until(lambda: client.answers[stuck].status == 400)
    assert (client.answers[stuck].ended, len(client.answers[stuck].body)) == (False, 65_535 % size)
    client.wire.increment_flow_control_window(1000)
    client.flush()
    assert (await client.finished(stuck)).json == {"reason": "BadDeviceToken"}


async def test_a_stream_too_many_is_refused_alone() -> None:
    """REFUSED_STREAM, a violation on record, and the others are served."""
    async with ApnsSimulator(streams=2) as apns, http2_client(apns.port, apns.client_context()) as client:
        await client.ask(headers(apns), BODY)
        apns.script(TOKEN, [Fault.slow(0.05), Fault.slow(0.05)])
        client.wire.remote_settings.max_concurrent_streams = 10
        client.wire.remote_settings.acknowledge()
        good = headers(apns)
        served, also, refused = (client.begin(good, BODY) for _ in range(3))
        assert (await client.finished(refused)).reset_code == 7
        assert [a.status for a in await client.all_finished([served, also])] == [200, 200]
    assert "more than 2 streams" in apns.violations[0]
    assert len(apns.ledger) == 3


async def test_ended_streams_are_forgotten(apns: ApnsSimulator, client: Http2Client) -> None:
    """Thousands of requests on one connection do not pile up."""
    good = headers(apns)
    for _ in range(8):
        await client.all_finished([client.begin(good, BODY) for _ in range(100)])
    (connection,) = apns._listener.connections
    assert len(connection._wire.streams) < 400  # type: ignore[attr-defined]


async def test_a_request_that_is_taken_back_harms_nobody(apns: ApnsSimulator, client: Http2Client) -> None:
    """Even in the same breath; the answers of the others come."""
    good = headers(apns)
    apns.script(TOKEN, [Fault.none(), Fault.slow(0.02)])
    for _ in range(2):
        stream = client.wire.get_next_available_stream_id()
        client.wire.send_headers(stream, good)
        client.wire.send_data(stream, BODY, end_stream=True)
        client.wire.reset_stream(stream, 8)
    client.flush()
    assert (await client.ask(good, BODY)).status == 200
    assert not client.closed
    assert apns.violations == []


async def test_a_graceful_goodbye_answers_what_came_before(apns: ApnsSimulator, client: Http2Client) -> None:
    """GOAWAY names the last stream; slower answers still come; later streams are not processed."""
    apns.script(TOKEN, [Fault.slow(0.05), Fault.go_away()])
    good = headers(apns)
    slow, last, late = (client.begin(good, BODY) for _ in range(3))
    assert [answer.status for answer in await client.all_finished([slow, last])] == [200, 200]
    await client.until(lambda: client.closed)
    assert client.goaways == [(last, b'{"reason":"Shutdown"}')]
    assert not client.answers[late].is_over
    assert [push.stream for push in apns.ledger] == [slow, last]


async def test_the_request_of_a_goodbye_can_be_the_first_unprocessed(
    apns: ApnsSimulator, client: Http2Client
) -> None:
    """It is safe to send again."""
    apns.script(TOKEN, [Fault.none(), Fault.go_away(accepted=False)])
    good = headers(apns)
    taken, not_taken = client.begin(good, BODY), client.begin(good, BODY)
    await client.until(lambda: client.closed)
    assert client.goaways[0][0] == taken
    assert (client.answers[taken].status, client.answers[not_taken].status) == (200, 0)
    assert len(apns.ledger) == 1


async def test_a_hard_goodbye_leaves_everything_unanswered(apns: ApnsSimulator, client: Http2Client) -> None:
    """What was accepted was accepted: the outcome is unknown to the client."""
    apns.script(TOKEN, [Fault.slow(5), Fault.go_away(hard=True)])
    good = headers(apns)
    streams = [client.begin(good, BODY), client.begin(good, BODY)]
    await client.until(lambda: client.closed)
    assert client.goaways[0][0] == streams[1]
    assert not any(client.answers[stream].is_over for stream in streams)
    assert len(apns.ledger) == 2


async def test_goodbye_to_everybody_reaches_idle_connections(
    apns: ApnsSimulator, client: Http2Client
) -> None:
    """All that came so far counts as processed."""
    await client.ask(headers(apns), BODY)
    apns.go_away("IdleTimeout")
    await client.until(lambda: client.closed)
    assert client.goaways == [(1, b'{"reason":"IdleTimeout"}')]


@pytest.mark.parametrize(
    ("fault", "frames"),
    [
        (Fault.answer(400, "BadTopic"), [21]),
        (Fault.answer(400, "BadTopic", frames="split"), [10, 11]),
        (Fault.answer(400, "BadTopic", frames="empty"), [21, 0]),
        (Fault.answer(400, "BadTopic", frames="none"), []),
        (Fault.answer(400, body=b"<html>"), [6]),
    ],
)
async def test_bodies_come_in_the_frames_that_were_asked_for(
    apns: ApnsSimulator, client: Http2Client, fault: Fault, frames: list[int]
) -> None:
    """Whole, split, with an empty end, or not at all."""
    apns.script(TOKEN, [fault])
    answer = await client.ask(headers(apns), BODY)
    assert (answer.status, answer.frames, answer.ended) == (400, frames, True)


async def test_a_reset_ends_one_stream(apns: ApnsSimulator, client: Http2Client) -> None:
    """With its code; whether the push was taken is for the script to say."""
    apns.script(TOKEN, [Fault.reset(code=7), Fault.reset(accepted=True), Fault.none()])
    good = headers(apns)
    answers = [await client.ask(good, BODY) for _ in range(3)]
    assert [(answer.reset_code, answer.status) for answer in answers] == [(7, 0), (2, 0), (None, 200)]
    assert [push.stream for push in apns.ledger] == [3, 5]


async def test_a_stalled_stream_stalls_no_other(apns: ApnsSimulator, client: Http2Client) -> None:
    """It never hears anything."""
    apns.script(TOKEN, [Fault.stall()])
    good = headers(apns)
    stalled, served = client.begin(good, BODY), client.begin(good, BODY)
    assert (await client.finished(served)).status == 200
    assert not client.answers[stalled].is_over


async def test_a_cut_ends_the_connection_without_a_word(apns: ApnsSimulator, client: Http2Client) -> None:
    """No GOAWAY; what was taken is in the ledger."""
    apns.script(TOKEN, [Fault.close(accepted=True)])
    client.begin(headers(apns), BODY)
    await client.until(lambda: client.closed)
    assert client.goaways == []
    assert len(apns.ledger) == 1


async def test_a_frozen_peer_says_nothing_and_stays(apns: ApnsSimulator, client: Http2Client) -> None:
    """Until it thaws."""
    apns.freeze()
    stream = client.begin(headers(apns), BODY)
    apns.script("ff", [Fault.none()])
    async with http2_client(apns.port, apns.client_context()) as other:
        assert (await other.ask(headers(apns, "ff"), BODY)).status == 200
    assert not client.answers[stream].is_over
    apns.freeze(frozen=False)
    assert (await client.finished(stream)).status == 200


async def test_latency_is_taken_by_every_answer(apns: ApnsSimulator, client: Http2Client) -> None:
    """The push itself is accepted on arrival."""
    apns.latency(0.1)
    began = time.monotonic()
    stream = client.begin(headers(apns), BODY)
    await apns.ledger.wait_for(1)
    assert not client.answers[stream].is_over
    await client.finished(stream)
    assert time.monotonic() - began >= 0.1


async def test_a_client_that_says_goodbye_still_gets_its_answers(
    apns: ApnsSimulator, client: Http2Client
) -> None:
    """It opens nothing more, and waits."""
    apns.script(TOKEN, [Fault.slow(0.05)])
    stream = client.begin(headers(apns), BODY)
    await apns.ledger.wait_for(1)
    client.wire.close_connection()
    client.flush()
    client.wire.state_machine.state = type(client.wire.state_machine.state).CLIENT_OPEN
    assert (await client.finished(stream)).status == 200


async def test_stopping_cuts_who_is_connected() -> None:
    """And the port is free again."""
    apns = await ApnsSimulator().start()
    async with http2_client(apns.port, apns.client_context()) as client:
        assert apns.connections_open == 1
        await apns.stop()
        await client.until(lambda: client.closed)
        await eventually(lambda: apns.connections_open == 0)
