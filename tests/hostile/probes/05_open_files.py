"""What its own processes and others have open, read again through /proc."""

import os
from probe import attempt, got, pids, steal

for pid in pids():
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        attempt()
        continue
    for name in names:
        path = f"/proc/{pid}/fd/{name}"
        try:
            got(path, os.readlink(path))
            if os.path.isfile(path):
                steal(path)
        except OSError:
            attempt()
