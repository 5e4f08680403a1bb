"""Where an endpoint may lead, and the many ways to try otherwise."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from workers.senders.addresses import (
    KNOWN_PUSH_SERVICES,
    AddressRefused,
    EndpointRefused,
    PublicResolver,
    PushServices,
    is_public,
)

SERVICES = PushServices(KNOWN_PUSH_SERVICES, ("https://127.0.0.1:8443",))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:APA91b-x_y",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAA%2Bx",
        "https://db5p.notify.windows.com/w/?token=BQYAAAD%2f",
        "https://web.push.apple.com/QAbc",
        "https://FCM.googleapis.com:443/x",
        "https://127.0.0.1:8443/push/1",
    ],
)
def test_push_services_of_browsers_are_sent_to_as_they_are_written(endpoint: str) -> None:
    """Not a sign of the path is changed: it is the address of one browser."""
    url = SERVICES.checked(endpoint)
    assert url.raw_path_qs == "/" + endpoint.split("/", 3)[3]


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://fcm.googleapis.com/x",
        "ftp://fcm.googleapis.com/x",
        "HTTPS//fcm.googleapis.com",
        "https://fcm.googleapis.com\r\nHost: inside/x",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilfcm.googleapis.com/x",
        "https://notify.windows.com.evil.example/x",
        "https://evil.example/fcm.googleapis.com",
        "https://fcm.googleapis.com@evil.example/x",
        "https://evil.example\\@fcm.googleapis.com/x",
        "https://user:secret@fcm.googleapis.com/x",
        "https://@fcm.googleapis.com/x",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com:0/x",
        "https://fcm.googleapis.com:99999/x",
        "https://127.0.0.1/x",
        "https://127.0.0.1:8444/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]:8443/x",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/x",
        "https:///x",
        "https://fcm.googleapis.com/" + "x" * 2000,
    ],
)
def test_whatever_leads_elsewhere_is_refused(endpoint: str) -> None:
    """And what is refused is never named: it may be a secret after all."""
    with pytest.raises(EndpointRefused) as refused:
        SERVICES.checked(endpoint)
    assert "evil" not in str(refused.value)
    assert "/" not in str(refused.value)


def test_a_private_address_stays_refused_even_if_somebody_lists_it() -> None:
    """Only an origin that is trusted as a whole may be inside."""
    listed = PushServices(("10.0.0.1", "8.8.8.8"))
    with pytest.raises(EndpointRefused):
        listed.checked("https://10.0.0.1/x")
    assert listed.checked("https://8.8.8.8/x").host == "8.8.8.8"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:808:808::80ff:fffe", False),
        ("nonsense", False),
    ],
)
def test_addresses_of_the_inside_are_known_in_every_dress(address: str, public: bool) -> None:
    """Loopback, private, link-local, shared, multicast, and IPv4 hidden in IPv6."""
    assert is_public(address) is public


class Names(AbstractResolver):
    """A name server of the test: every look-up takes the next answer."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The next answer."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


async def test_only_public_addresses_of_a_name_are_connected_to() -> None:
    """A name that stands for the inside as well leads outside alone; one that turns inside leads nowhere."""
    names = Names(["127.0.0.1", "8.8.8.8", "10.0.0.1"], ["127.0.0.1"])
    resolver = PublicResolver(SERVICES, names)
    assert [found["host"] for found in await resolver.resolve("fcm.googleapis.com", 443)] == ["8.8.8.8"]
    with pytest.raises(AddressRefused):
        await resolver.resolve("fcm.googleapis.com", 443)
    await resolver.close()
    assert names.closed


async def test_a_trusted_origin_may_be_anywhere() -> None:
    """That port of it, and no other."""
    services = PushServices((), ("https://gateway.internal:8443",))
    resolver = PublicResolver(services, Names(["10.0.0.1"], ["10.0.0.1"]))
    assert [found["host"] for found in await resolver.resolve("gateway.internal", 8443)] == ["10.0.0.1"]
    with pytest.raises(AddressRefused):
        await resolver.resolve("gateway.internal", 443)
