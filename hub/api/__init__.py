"""The server API: what backends ask of the hub over HTTP. Knows no engine and no connection."""

from hub.api.app import ApiOptions, create_api
from hub.api.call import Limits
from hub.api.keys import SCOPES, ApiKey, Scope
from hub.api.ports import HubNode

__all__ = ["SCOPES", "ApiKey", "ApiOptions", "HubNode", "Limits", "Scope", "create_api"]
