"""What a cluster needs is imported where there is one, and its client only when something is asked of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPEN = """
import sys
from pathlib import Path
import headway.server, headway.worker
from headway.app import open_app
from headway.settings import KubernetesSettings, Settings
cluster = KubernetesSettings({settings})
app = open_app(Settings(data=Path({data!r}), kubernetes=cluster))
looked_for = ("lightkube", "httpx2", "headway.kube", "headway.engines.kubernetes.engine")
print(sorted(app.engines), sorted(name for name in looked_for if name in sys.modules))
app.close()
"""


def opened(folder: Path, settings: str) -> str:
    code = OPEN.format(data=str(folder / "data"), settings=settings)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_without_a_cluster_nothing_of_it_is_imported(tmp_path: Path) -> None:
    assert opened(tmp_path, "") == "['local'] []"


def test_with_one_the_client_waits_for_the_first_question(tmp_path: Path) -> None:
    settings = "namespaces=('ml',), image='headway:1', server_url='http://headway:7474'"
    assert opened(tmp_path, settings) == "['kubernetes', 'local'] ['headway.engines.kubernetes.engine']"
