"""Who is let in: rates and counts, of all and of one address."""

from __future__ import annotations

import pytest

from hub.connection.link import Refused
from hub.pacing import Pace
from hub.transport import TrustedProxies
from hub.transport.admission import RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S, Admission, AdmissionOptions
from tests.support.echo import EchoConnection
from tests.support.hub_server import CountingMetrics, serving
from tests.support.raw_client import RawClient, upgrade_request
from tests.support.waiting import eventually

ANN, BEN = "192.0.2.1", "192.0.2.2"


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reached() -> CountingMetrics:
    return CountingMetrics()


def come(admission: Admission, address: str) -> str | int:
    """Come in: the place, or the status of the refusal."""
    try:
        admission.check_load()
        return admission.admit(address)
    except Refused as refused:
        assert refused.retry_after_s is not None
        assert RETRY_AFTER_MIN_S <= refused.retry_after_s <= RETRY_AFTER_MAX_S
        return refused.status


def test_everybody_is_let_in_without_limits(reached: CountingMetrics, clock: Clock) -> None:
    """And nothing is remembered of them."""
    admission = Admission(AdmissionOptions(), reached, clock)
    assert {come(admission, ANN) for _ in range(1_000)} == {""}


def test_beyond_its_pace_a_node_takes_nobody(reached: CountingMetrics, clock: Clock) -> None:
    """Whoever it is, until a token has come back."""
    admission = Admission(AdmissionOptions(connects=Pace(per_s=2, burst=2)), reached, clock)
    assert [come(admission, each) for each in (ANN, BEN, ANN)] == ["", "", 503]
    clock.now_s = 0.5
    assert [come(admission, each) for each in (BEN, ANN)] == ["", 503]
    assert reached.limits == {"connect_rate": 2}


def test_one_address_takes_nothing_from_others(reached: CountingMetrics, clock: Clock) -> None:
    """A flood of one is refused before it costs the node's own pace."""
    options = AdmissionOptions(connects=Pace(1, 3), connects_per_ip=Pace(1, 1))
    admission = Admission(options, reached, clock)
    assert [come(admission, ANN) for _ in range(10)] == [ANN, *[429] * 9]
    assert come(admission, BEN) == BEN
    assert reached.limits == {"connect_rate_per_ip": 9}


def test_the_addresses_of_one_subscriber_count_as_one(reached: CountingMetrics, clock: Clock) -> None:
    """IPv6 gives everybody more addresses than there are packets."""
    admission = Admission(AdmissionOptions(max_connections_per_ip=2), reached, clock)
    came = [come(admission, f"2001:db8::{number:x}") for number in range(3)]
    assert came == ["2001:db8::/64", "2001:db8::/64", 429]
    assert come(admission, "2001:db8:0:1::1") == "2001:db8:0:1::/64"


def test_who_leaves_makes_room(reached: CountingMetrics, clock: Clock) -> None:
    """Of the address, and of all."""
    options = AdmissionOptions(max_connections_per_ip=1, max_connections=2)
    admission = Admission(options, reached, clock)
    assert [come(admission, each) for each in (ANN, ANN, BEN, "192.0.2.3")] == [ANN, 429, BEN, 503]
    admission.left(ANN)
    assert [come(admission, each) for each in (BEN, ANN)] == [429, ANN]
    assert reached.limits == {"connections_per_ip": 2, "connections": 1}


def test_other_limits_hold_from_then_on(reached: CountingMetrics, clock: Clock) -> None:
    """Who is here stays and counts; a place from before limits is given back in order."""
    admission = Admission(AdmissionOptions(), reached, clock)
    unlimited = admission.admit(ANN)
    admission.replace(AdmissionOptions(max_connections=2))
    assert [come(admission, each) for each in (ANN, ANN)] == ["", 503]
    admission.left(unlimited)
    assert come(admission, ANN) == ""


async def upgrade(address: tuple[str, int], forwarded_for: str | None = None) -> tuple[int, str | None]:
    """Try once: status and Retry-After."""
    async with await RawClient.connect(address) as client:
        client.send(upgrade_request(headers={"X-Forwarded-For": forwarded_for}))
        response = await client.read_response()
        return response.status, response.headers.get("retry-after")


async def test_a_storm_is_refused_before_the_upgrade() -> None:
    """With the status that says later, and when."""
    async with serving(admission=AdmissionOptions(connects=Pace(per_s=0.001, burst=2))) as served:
        answers = [await upgrade(served.address) for _ in range(4)]
        assert [status for status, _ in answers] == [101, 101, 503, 503]
        assert all(retry is not None and int(retry) >= 1 for _, retry in answers[2:])
        assert served.metrics.refused == [503, 503]
        assert served.metrics.limits == {"connect_rate": 2}


async def test_an_address_is_that_behind_a_trusted_proxy() -> None:
    """Two phones behind one proxy do not count as one; what a phone says of itself counts nothing."""
    options = AdmissionOptions(connects_per_ip=Pace(per_s=0.001, burst=1))
    async with serving(admission=options, trusted_proxies=TrustedProxies(["127.0.0.1"])) as served:
        seen = [ANN, BEN, ANN, f"{BEN}, {ANN}"]
        assert [(await upgrade(served.address, each))[0] for each in seen] == [101, 101, 429, 429]
    async with serving(admission=options) as served:
        assert [(await upgrade(served.address, each))[0] for each in (ANN, BEN)] == [101, 429]


async def test_connections_of_an_address_are_counted_until_they_end() -> None:
    """However they end."""
    options = AdmissionOptions(max_connections_per_ip=2)
    async with serving(admission=options) as served:
        async with await RawClient.connect(served.address) as first:
            await first.upgrade()
            async with await RawClient.connect(served.address) as second:
                await second.upgrade()
                assert (await upgrade(served.address))[0] == 429
                second.reset()
            await eventually(lambda: served.server.links == 1)
            assert (await upgrade(served.address))[0] == 101
        await eventually(lambda: served.server.links == 0)


async def test_whom_the_hub_does_not_want_takes_no_place() -> None:
    """A connection that the acceptor refused is not counted."""
    async with serving(admission=AdmissionOptions(max_connections=1)) as served:
        welcome = served.acceptor.before
        served.acceptor.before = _refuse
        assert [(await upgrade(served.address))[0] for _ in range(3)] == [503, 503, 503]
        served.acceptor.before = welcome
        assert (await upgrade(served.address))[0] == 101
        assert served.metrics.limits == {}


def _refuse(connection: EchoConnection) -> None:
    raise Refused(503, "draining", 1)
