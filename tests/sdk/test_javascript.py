"""The hub as ``centrifuge`` for JavaScript sees it, in Node."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.sdk.scenarios.clocks import ClockScenarios
from tests.sdk.scenarios.connecting import ConnectingScenarios
from tests.sdk.scenarios.inbox import InboxScenarios
from tests.sdk.scenarios.recovery import RecoveryScenarios
from tests.sdk.scenarios.restart import RestartScenarios
from tests.sdk.scenarios.revoking import RevokingScenarios
from tests.sdk.scenarios.server_side import ServerSideScenarios
from tests.sdk.scenarios.speaking import SpeakingScenarios
from tests.sdk.scenarios.subscribing import SubscribingScenarios
from tests.support.js_client import js_driver
from tests.support.sdk import MakeClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def make_client() -> AsyncIterator[MakeClient]:
    """The SDK under test: one Node process for the whole module."""
    async with js_driver() as driver:
        yield driver.client


class TestConnecting(ConnectingScenarios):
    """See the scenarios."""


class TestSubscribing(SubscribingScenarios):
    """See the scenarios."""


class TestSpeaking(SpeakingScenarios):
    """See the scenarios."""


class TestServerSide(ServerSideScenarios):
    """See the scenarios."""


class TestRevoking(RevokingScenarios):
    """See the scenarios."""


class TestRecovery(RecoveryScenarios):
    """See the scenarios."""


class TestClock(ClockScenarios):
    """See the scenarios."""


class TestRestart(RestartScenarios):
    """See the scenarios."""


class TestInbox(InboxScenarios):
    """See the scenarios."""
