"""In a child: the libraries under our senders, alone and as they ship, against the sink.

Orders: ``apns`` and ``fcm``, each with a count; the answer has CPU and wall seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
import uuid
import warnings
from typing import Any

from benchmarks.support import Answer, Order, obey
from benchmarks.workers.sink import APP, KEY_ID, PROJECT, TEAM_ID

APNS_IN_FLIGHT = 50
"""Where stock aioapns is fastest on one connection; with more it is slower, with much more it breaks."""
FCM_BATCH = 100


class Stock:
    """Stock clients of both providers."""

    def __init__(self, sink: dict[str, Any]) -> None:
        self._sink = sink
        self._apns: Any = None
        self._fcm: Any = None

    async def apns(self, order: Order) -> Answer:
        """``aioapns`` with a semaphore, one connection, as its documentation shows it."""
        from aioapns import NotificationRequest

        client = self._apns = self._apns or self._make_apns()
        left = iter(range(order["count"]))

        async def send_some() -> None:
            for number in left:
                request = NotificationRequest(
                    device_token=f"{number:064x}",
                    message={"aps": {"alert": {"title": "Order shipped", "body": "It is on its way"}}},
                    notification_id=str(uuid.uuid4()),
                )
                result = await client.send_notification(request)
                assert result.is_successful, result.description

        sending = asyncio.gather(*(send_some() for _ in range(APNS_IN_FLIGHT)))
        return await _measured(order["count"], sending)

    async def fcm(self, order: Order) -> Answer:
        """``send_each_async`` in batches, one after the other."""
        from firebase_admin import messaging  # type: ignore[import-untyped]

        app = self._fcm = self._fcm or self._make_fcm()

        async def send_all() -> None:
            for first in range(0, order["count"], FCM_BATCH):
                messages = [
                    messaging.Message(
                        token=f"token-{number:060x}",
                        notification=messaging.Notification("Order shipped", "It is on its way"),
                        data={"hub": '{"v":1}'},
                    )
                    for number in range(first, min(first + FCM_BATCH, order["count"]))
                ]
                answer = await messaging.send_each_async(messages, app=app)
                assert answer.failure_count == 0, answer.responses[0].exception

        return await _measured(order["count"], send_all())

    def _make_apns(self) -> Any:
        from aioapns import APNs
        from aioapns.connection import APNsTLSClientProtocol

        class ToSink(APNsTLSClientProtocol):
            APNS_SERVER = "localhost"
            APNS_PORT = self._sink["port"]

        context = ssl.create_default_context(cafile=self._sink["ca_file"])
        context.set_alpn_protocols(["h2"])
        with open(self._sink["apns_key_file"]) as file:
            key = file.read()
        client = APNs(
            key=key, key_id=KEY_ID, team_id=TEAM_ID, topic=APP, ssl_context=context, max_connections=1
        )
        client.pool.protocol_class = ToSink
        return client

    def _make_fcm(self) -> Any:
        import firebase_admin
        from firebase_admin import credentials, messaging

        os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = self._sink["ca_file"]
        messaging._MessagingService.FCM_URL = f"https://localhost:{self._sink['port']}/v1/projects/{{0}}/send"
        account = credentials.Certificate(self._sink["service_account_file"])
        return firebase_admin.initialize_app(account, {"projectId": PROJECT})


async def _measured(count: int, work: Any) -> Answer:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await work
    return {"count": count, "cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}


async def main() -> None:
    """Obey."""
    warnings.simplefilter("ignore")
    stock = Stock(json.loads(sys.argv[1]))
    await obey({"apns": stock.apns, "fcm": stock.fcm})


if __name__ == "__main__":
    # On Python's own loop: both are no faster on another.
    asyncio.run(main())
