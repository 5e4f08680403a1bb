"""The service account of a Firebase project, checked before anything is sent.

Every way in which it cannot work is named here, with the setting and what to do. What is in the
file is a secret: no text of it, and no library's words about it, reach the exception.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from firebase_admin import credentials  # type: ignore[import-untyped]
from google.auth.credentials import Credentials

from workers.senders.fcm.options import FcmOptions
from workers.senders.port import BadCredentials

_WHERE = "make a key in the Firebase console under project settings, service accounts"


def service_account(options: FcmOptions) -> Credentials:
    """The credential that ``options`` name, able to sign; nothing is asked of Google yet.

    Raises:
        BadCredentials: it is missing, no service account, unreadable, or of another project.
    """
    content = _content(options)
    if content.get("type") != "service_account":
        raise _bad(options, f"is not a service account key; {_WHERE}")
    missing = [
        name for name in ("project_id", "private_key", "client_email", "token_uri") if not content.get(name)
    ]
    if missing:
        raise _bad(options, f"has no {', '.join(missing)}; {_WHERE}")
    if content["project_id"] != options.app:
        raise _bad(
            options,
            f"belongs to another project ({content['project_id']!r}); the app's name is the project id",
        )
    try:
        credential: Credentials = credentials.Certificate(content).get_credential()
    except (ValueError, TypeError, KeyError):
        raise _bad(options, f"holds a private key that cannot be read; {_WHERE}") from None
    return credential


def _content(options: FcmOptions) -> dict[str, Any]:
    given = options.credentials
    if not isinstance(given, str | Path):
        return dict(given)
    if not str(given):
        raise _bad(options, "are not set; give the path of the service account JSON")
    try:
        content = json.loads(Path(given).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _bad(options, f"file {str(given)!r} does not exist") from None
    except OSError as error:
        raise _bad(options, f"file {str(given)!r} cannot be read ({error.strerror})") from None
    except ValueError:
        raise _bad(options, f"file {str(given)!r} is no JSON; {_WHERE}") from None
    if not isinstance(content, dict):
        raise _bad(options, f"file {str(given)!r} is not a service account key; {_WHERE}")
    return content


def _bad(options: FcmOptions, what: str) -> BadCredentials:
    return BadCredentials(f"push app {options.app!r} (fcm): credentials {what}")
