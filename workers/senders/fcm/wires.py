"""The wire of the FCM sender: one message posted to one address, as firebase-admin's inner client does it.

Two carry it. ``FastWire`` is aiohttp over many HTTP/1.1 connections, several times the rate of what
the library ships; ``LibraryWire`` is the library's own HTTP/2 transport. Both raise httpx's
exceptions, so the library's error mapping serves either. Neither retries, follows redirects, reads
proxies from the environment, nor knows what it carries.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
import httpx
import orjson
from yarl import URL

from workers.senders.fcm.sdk import HEADERS, library_client
from workers.senders.sockets import Sockets


class Answer(Protocol):
    """A success of HTTP."""

    def json(self) -> Any:
        """The parsed body.

        Raises:
            ValueError: it is no JSON.
        """
        ...


class Wire(Protocol):
    """Carries messages, any number at once; the caller sets the deadline by cancelling."""

    async def post(self, body: bytes, authorization: Mapping[str, str]) -> Answer:
        """Make one request of ``body``, which is JSON, once.

        Raises:
            httpx.HTTPStatusError: an answer that is no success.
            httpx.ConnectError: no connection came to stand; nothing was sent.
            httpx.HTTPError: anything else; what became of the request is unknown.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Only after the requests in flight were cancelled."""
        ...


class FastWire:
    """aiohttp: ``max_connections`` to ``url`` over HTTP/1.1, and little per request that can be done once."""

    def __init__(self, url: str, max_connections: int, ca: ssl.SSLContext | None) -> None:
        self._url = URL(url)
        self._sockets = Sockets()
        self._session = aiohttp.ClientSession(
            # An answer is too short to be worth the work of packing it.
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity", **HEADERS},
            connector=aiohttp.TCPConnector(
                limit=max_connections, ssl=True if ca is None else ca, socket_factory=self._sockets.make
            ),
            # The caller's deadline spans waiting for a connection too; a second clock would only differ.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, body: bytes, authorization: Mapping[str, str]) -> Answer:
        """See :class:`Wire`."""
        try:
            # No block around it: reading to the end gives the connection back, and a failure closes it.
            answer = await self._session.post(
                self._url, data=aiohttp.BytesPayload(body), headers=authorization, allow_redirects=False
            )
            said = await answer.read()
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(type(error).__name__) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.RemoteProtocolError(type(error).__name__) from error
        if answer.status != 200:
            raise _status_error(answer.status, answer.headers, said, str(self._url))
        return _Body(said)

    async def close(self) -> None:
        """See :class:`Wire`."""
        await self._session.close()
        await self._sockets.cut()


class _Body:
    """The bytes of a success, parsed when asked for."""

    __slots__ = ("_bytes",)

    def __init__(self, body: bytes) -> None:
        self._bytes = body

    def json(self) -> Any:
        return orjson.loads(self._bytes)


class LibraryWire:
    """firebase-admin's HTTP/2 transport: one connection, as many streams as the server allows.

    Underneath, a request that is abandoned never tells the server: its stream counts as open for the
    life of the connection, and at a hundred of them nothing can be sent. So the first abandoned
    request retires its connection: new requests open another, those under way finish on the old one.
    """

    def __init__(self, url: str, timeout_s: float, ca: ssl.SSLContext | None) -> None:
        self._url = url
        self._open_client = functools.partial(library_client, timeout_s, ca)
        self._lease = _Lease(self._open_client())
        self._retired: set[_Lease] = set()

    async def post(self, body: bytes, authorization: Mapping[str, str]) -> Answer:
        """See :class:`Wire`."""
        headers = {"Content-Type": "application/json", **HEADERS, **authorization}
        lease = self._lease
        lease.requests += 1
        try:
            answer = await lease.client.post(self._url, headers=headers, content=body)
        except asyncio.CancelledError:
            if lease is self._lease:
                self._retired.add(lease)
                self._lease = _Lease(self._open_client())
            raise
        finally:
            lease.requests -= 1
            if not lease.requests and lease in self._retired:
                self._retired.discard(lease)
                # Shielded: whoever is cancelled here must not leave the connection open.
                await asyncio.shield(lease.client.aclose())
        if answer.status_code != 200:
            raise _status_error(answer.status_code, answer.headers, answer.content, self._url)
        return answer

    async def close(self) -> None:
        """See :class:`Wire`."""
        for lease in (self._lease, *self._retired):
            await lease.client.aclose()


class _Lease:
    """A client of the library, and how many requests are under way on it."""

    __slots__ = ("client", "requests")

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.requests = 0


def _status_error(status: int, headers: Mapping[str, str], body: bytes, url: str) -> httpx.HTTPStatusError:
    """The exception that httpx would raise, with an answer that can be read again.

    The body is decoded already, so the header that says how it was encoded must not come along.
    """
    kept = [(name, value) for name, value in headers.items() if name.lower() in _KEPT_HEADERS]
    request = httpx.Request("POST", url)
    response = httpx.Response(status, headers=kept, content=body, request=request)
    return httpx.HTTPStatusError(f"status {status}", request=request, response=response)


_KEPT_HEADERS = frozenset({"retry-after", "content-type", "date"})
