"""The part of a Django project's settings that the hub has to agree with."""

import os
from datetime import timedelta

SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": os.environ["JWT_SECRET"],  # the hub has the same text in HUB_AUTH__SECRET
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "USER_ID_CLAIM": "user_id",
}
