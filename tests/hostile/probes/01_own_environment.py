"""Its own environment, as the process and as the C library have it."""

import os
from probe import attempt, got, libc
import ctypes

for name, value in os.environ.items():
    attempt()
    got(f"variable {name}", value)
libc.secure_getenv.restype = ctypes.c_char_p
for name in (b"DEPLOY_KEY", b"GITHUB_TOKEN", b"AWS_SECRET_ACCESS_KEY", b"HEADWAY_TOKEN", b"HOSTILE_SERVER"):
    attempt()
    got(name, libc.secure_getenv(name) or b"")
