"""The environment, its cache and the interpreter: what others run later must not take a file from here."""

import os, site, sys
from probe import FACTS, OUTSIDE, attempt, through, writes

places = [
    sys.prefix,
    os.path.realpath(sys.prefix),
    sys.base_prefix,
    *site.getsitepackages(),
    "/usr/lib/python3",
    "/usr/local/bin",
    "/etc",
]
for place in (
    [] if OUTSIDE else FACTS["caches"]
):  # may be folders of its own /tmp: what really lies there, the judge looks at
    for name in ("hwpoison.pth", "hwpoison.py", "sitecustomize-hwpoison.py"):
        writes(f"{place}/{name}")
for place in [FACTS["home"]] if OUTSIDE else places:
    for name in ("hwpoison.pth", "hwpoison.py", "sitecustomize.py"):
        if writes(f"{place}/{name}", b"# hwpoison\n"):
            through(f"{place}/{name} was written")
            os.unlink(f"{place}/{name}")
for path in ("/proc/self/exe", sys.executable):
    attempt()
    try:
        if not OUTSIDE:
            os.close(os.open(path, os.O_WRONLY))
            through(f"{path} opens for writing")
    except OSError:
        pass
