"""Other spellings of the same files: dots, double slashes, descriptors of folders, very long ways round."""

import os
from probe import FACTS, attempt, got, steal

for path in FACTS["files"]:
    for spelling in (
        f"//{path}",
        f"/proc/self/root{path}",
        f"/proc/thread-self/root{path}",
        f"/usr/..{path}",
        f"/tmp/../..{path}",
        "../" * 30 + path.lstrip("/"),
        f"/dev/fd/../root{path}",
    ):
        steal(spelling)
    attempt()
    try:
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        with open(os.open(path.lstrip("/"), os.O_RDONLY, dir_fd=root), "rb") as one:
            got(f"from a descriptor of /: {path}", one.read(4096))
    except OSError:
        pass
