"""Who may see what only operators should."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from hub.ops.exposure import OperatorsOnly

KEY = b"an-admin-key"


def request_from(address: str | None, /, **headers: str) -> Request:
    """A request of somebody at ``address``."""
    named = {"host": "localhost:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    client = None if address is None else (address, 5000)
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "client": client})


def permits(request: Request, *, loopback: bool = True) -> bool:
    """What is decided."""
    return OperatorsOnly(is_admin=lambda presented: presented == KEY, loopback=loopback)(request)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1"])
@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_this_machine_by_a_name_of_its_own(host: str, name: str) -> None:
    """Any loopback address."""
    assert permits(request_from(host, host=name))


@pytest.mark.parametrize("host", ["10.0.0.7", "192.168.1.2", "2001:db8::1", "testclient", "", None])
def test_others_may_not(host: str | None) -> None:
    """Neighbours neither, and nobody whose address is not known."""
    assert not permits(request_from(host))


@pytest.mark.parametrize("name", ["hub.example.com", "attacker.example:8000", "", "localhost.example.com"])
def test_a_name_that_only_points_here_does_not_count(name: str) -> None:
    """A web page can have its own name point to this machine, and would read what its visitor may."""
    assert not permits(request_from("127.0.0.1", host=name))


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip", "via"])
def test_what_a_proxy_hands_on_is_not_from_this_machine(header: str) -> None:
    """Though the proxy is on it."""
    assert not permits(request_from("127.0.0.1", **{header: "127.0.0.1"}))


def test_it_can_be_turned_off_for_this_machine_too() -> None:
    """Then only a key counts."""
    assert not permits(request_from("127.0.0.1"), loopback=False)
    assert permits(request_from("127.0.0.1", x_api_key=KEY.decode()), loopback=False)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": "an-admin-key"},
        {"authorization": "ApiKey an-admin-key"},
        {"authorization": "Bearer an-admin-key"},
        {"authorization": "apikey  an-admin-key "},
    ],
)
def test_an_admin_key_opens_it_from_anywhere(headers: dict[str, str]) -> None:
    """However Prometheus was told to send it."""
    assert permits(request_from("203.0.113.9", host="hub.example.com", **headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"x_api_key": "another"},
        {"x_api_key": "é"},
        {"authorization": "Basic an-admin-key"},
        {"authorization": "an-admin-key"},
        {"authorization": ""},
    ],
)
def test_another_key_does_not(headers: dict[str, str]) -> None:
    """Nor the right one said in a wrong way."""
    assert not permits(request_from("203.0.113.9", **headers))
