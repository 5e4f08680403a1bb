"""The contract with firebase-admin's inside: what we use of it is there, and works as we think."""

from __future__ import annotations

import inspect
import warnings

import httpx
import pytest
from firebase_admin import _http_client, _retry, _utils, messaging  # type: ignore[import-untyped]

from workers.senders.fcm import sdk


def test_the_names_we_use_are_there() -> None:
    """An upgrade that moves one of them fails here, with its name."""
    service = messaging._MessagingService
    assert service.FCM_URL == "https://fcm.googleapis.com/v1/projects/{0}/messages:send"
    assert isinstance(inspect.getattr_static(service, "encode_message"), classmethod)
    assert isinstance(inspect.getattr_static(service, "_build_fcm_error_httpx"), classmethod)
    assert list(inspect.signature(_utils.handle_platform_error_from_httpx).parameters) == [
        "error",
        "handle_func",
    ]
    assert list(inspect.signature(_retry.HttpxRetry).parameters)[:2] == ["max_retries", "status_forcelist"]
    assert "retry" in inspect.signature(_retry.HttpxRetryTransport).parameters
    assert "x-goog-api-client" in _http_client.METRICS_HEADERS


def test_our_headers_are_those_of_the_library() -> None:
    """Google tells clients apart by them."""
    source = inspect.getsource(messaging._MessagingService.__init__)
    assert "'X-GOOG-API-FORMAT-VERSION': '2'" in source
    assert "'X-FIREBASE-CLIENT': f'fire-admin-python/{firebase_admin.__version__}'" in source
    assert set(sdk.HEADERS) == {"X-GOOG-API-FORMAT-VERSION", "X-FIREBASE-CLIENT", "x-goog-api-client"}


def test_a_token_set_after_construction_is_encoded_and_warns_of_nothing() -> None:
    """The constructor's argument is deprecated, the field is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = messaging.Message()
        message.token = "a-token"
        assert messaging._MessagingService.encode_message(message) == {"token": "a-token"}
        other = messaging.Message()
        other.fid = "an-installation"
        assert messaging._MessagingService.encode_message(other) == {"fid": "an-installation"}


def test_the_address_is_the_librarys_unless_another_host_stands_in() -> None:
    """The path stays the same at a simulator."""
    assert sdk.send_url("demo") == "https://fcm.googleapis.com/v1/projects/demo/messages:send"
    assert (
        sdk.send_url("demo", "http://127.0.0.1:99/") == "http://127.0.0.1:99/v1/projects/demo/messages:send"
    )


@pytest.mark.parametrize("status", [500, 503, 429, 401])
async def test_the_librarys_transport_asks_once_and_leaves_no_answer_open(status: int) -> None:
    """Its own retries would hold a stream of the connection for each answer they discard."""
    asked: list[httpx.Response] = []

    class Refusing(httpx.AsyncBaseTransport):
        """Counts, and answers ``status``."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = httpx.Response(status, headers={"Retry-After": "60"}, content=b"no", request=request)
            asked.append(answer)
            return answer

    client = sdk.library_client(1.0, None)
    transport = client._transport
    assert isinstance(transport, _retry.HttpxRetryTransport)
    await transport._wrapped_transport.aclose()
    transport._wrapped_transport = Refusing()
    answer = await client.post("https://example.org/")
    await client.aclose()
    assert answer.status_code == status
    assert [one.is_closed for one in asked] == [True]
