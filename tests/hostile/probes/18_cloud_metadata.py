"""The address at which clouds hand out credentials, by its spellings; only whether a way leads there."""

import socket
from probe import attempt, through

for family, place in (
    (socket.AF_INET, "169.254.169.254"),
    (socket.AF_INET, "169.254.170.2"),
    (socket.AF_INET, "100.100.100.200"),
    (socket.AF_INET6, "fd00:ec2::254"),
    (socket.AF_INET6, "::ffff:169.254.169.254"),
):
    attempt()
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((place, 80))  # sends nothing: a route is looked up
            through(f"there is a way to {place}")
    except OSError:
        pass
