"""FCM HTTP v1: firebase-admin's credentials, types, encoding and errors over a wire that loses nothing."""

from workers.payloads.fcm import FcmStyle
from workers.senders.fcm.options import FcmOptions
from workers.senders.fcm.sender import FcmSender

__all__ = ["FcmOptions", "FcmSender", "FcmStyle"]
