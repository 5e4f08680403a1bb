"""What a login endpoint does: sign a token that says who the user is, and until when."""

import os
import sys
import time

import jwt

claims = {"sub": sys.argv[1], "exp": int(time.time()) + 3600}
print(jwt.encode(claims, os.environ["JWT_SECRET"], algorithm="HS256"))
