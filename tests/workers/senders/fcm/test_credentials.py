"""Every way in which a service account cannot work is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.senders.fcm.accounts import PROJECT, account, private_key_pem
from workers.senders.fcm.credentials import service_account
from workers.senders.fcm.options import FcmOptions
from workers.senders.port import BadCredentials


def test_a_service_account_is_taken_from_a_file_or_as_it_is(tmp_path: Path) -> None:
    """Both ways give a credential of that account."""
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account()))
    for given in (path, str(path), account()):
        credential = service_account(FcmOptions(PROJECT, given))
        assert getattr(credential, "service_account_email", "") == account()["client_email"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (account(type="authorized_user"), "is not a service account key"),
        (account(type=None), "is not a service account key"),
        (account(private_key=None, token_uri=None), "has no private_key, token_uri"),
        (account(project_id="another"), "belongs to another project ('another')"),
        (account(private_key="-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"), "private key that cannot be read"),
        (account(private_key=7), "private key that cannot be read"),
    ],
)
def test_an_account_that_cannot_work_is_refused_by_name(content: dict[str, Any], said: str) -> None:
    """The text names the app and what to do, and nothing of the key."""
    with pytest.raises(BadCredentials) as refused:
        service_account(FcmOptions(PROJECT, content))
    text = str(refused.value)
    assert said in text
    assert text.startswith(f"push app '{PROJECT}' (fcm): credentials ")
    assert "c2VjcmV0" not in text
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "is no JSON"), ("[1]", "is not a service account key"), (None, "does not exist")],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, content: str | None, said: str
) -> None:
    """With its path, so that it is found."""
    path = tmp_path / "account.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadCredentials, match=said) as refused:
        service_account(FcmOptions(PROJECT, path))
    assert str(path) in str(refused.value)


def test_a_folder_and_nothing_are_refused_by_name(tmp_path: Path) -> None:
    """Two mistakes that settings make easy."""
    with pytest.raises(BadCredentials, match="cannot be read"):
        service_account(FcmOptions(PROJECT, tmp_path))
    with pytest.raises(BadCredentials, match="are not set"):
        service_account(FcmOptions(PROJECT, ""))


def test_options_show_no_key() -> None:
    """They end up in logs sooner or later."""
    assert private_key_pem()[40:80] not in repr(FcmOptions(PROJECT, account()))
