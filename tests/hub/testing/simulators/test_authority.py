"""Certificates of the simulators: verified by who trusts them, refused by who does not."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import httpx
import pytest

from hub.testing.simulators import Authority, FcmSimulator


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_both_names_of_this_machine_are_verified(host: str) -> None:
    """By the CA file alone."""
    async with FcmSimulator() as fcm:
        context = ssl.create_default_context(cafile=fcm.ca_file)
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(f"https://{host}:{fcm.port}/")).status_code == 404


async def test_another_authority_is_not_trusted() -> None:
    """Every one has a key of its own."""
    async with FcmSimulator() as fcm, httpx.AsyncClient(verify=Authority().client_context()) as client:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(fcm.url)


def test_a_directory_keeps_the_authority(tmp_path: Path) -> None:
    """The second finds that of the first, whose key only the owner may read."""
    first, second = Authority(tmp_path), Authority(tmp_path)
    assert first.ca_pem == second.ca_pem
    assert stat.S_IMODE((tmp_path / "ca-key.pem").stat().st_mode) == 0o600
    (tmp_path / "ca-key.pem").write_text("damaged")
    assert Authority(tmp_path).ca_pem != first.ca_pem


def test_a_temporary_authority_leaves_nothing_behind() -> None:
    """Its file goes with it."""
    authority = Authority()
    folder = authority.ca_file.parent
    assert folder.is_dir()
    del authority
    assert not folder.exists()
