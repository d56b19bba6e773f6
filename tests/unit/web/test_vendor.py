"""Vendored files are what the manifest says, and a change of one byte is noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headway.web.assets import asset, assets, vendored

ROOT = Path(__file__).resolve().parents[3]
VENDOR = ROOT / "src/headway/web/static/vendor"
TOOL = ROOT / "tools/vendor.py"


def verify(vendor: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the tool on a copy: it looks for the files beside itself."""
    place = tmp_path / "tools/vendor.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOOL, place)
    return subprocess.run([sys.executable, place, "verify"], capture_output=True, text=True, check=False, cwd=vendor)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    place = tmp_path / "src/headway/web/static/vendor"
    shutil.copytree(VENDOR, place)
    return place


def test_the_files_are_as_the_manifest_says(copy: Path, tmp_path: Path) -> None:
    done = verify(copy, tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("harm", ["changed", "missing", "stray", "licence"])
def test_every_harm_is_named(copy: Path, tmp_path: Path, harm: str) -> None:
    victim = copy / "htmx/4.0.0/htmx.min.js"
    if harm == "changed":
        victim.write_bytes(victim.read_bytes() + b"\n")
    elif harm == "missing":
        victim.unlink()
    elif harm == "stray":
        (copy / "evil.js").write_text("alert(1)")
    else:
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest[0]["license"] = ""
        (copy / "manifest.json").write_text(json.dumps(manifest))
    done = verify(copy, tmp_path)
    assert done.returncode == 1
    assert {"changed": "its bytes", "missing": "missing", "stray": "evil.js", "licence": "licence"}[harm] in done.stdout


def test_pages_give_browsers_the_hash_of_the_manifest() -> None:
    for name, integrity in vendored().items():
        if name in assets():
            assert asset(name).integrity == integrity
    assert "vendor/htmx/4.0.0/htmx.min.js" in assets()


def test_no_file_but_scripts_styles_and_pictures_is_sent() -> None:
    assert {Path(name).suffix for name in assets()} == {".js", ".css", ".svg"}


def test_nothing_of_ours_evaluates_strings() -> None:
    for name, found in assets().items():
        if name.endswith(".js") and not name.startswith("vendor/"):
            text = found.body.decode()
            for word in ("eval(", "new Function", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
                assert word not in text, (name, word)
    templates = VENDOR.parent.parent / "templates"
    for template in templates.glob("*.html"):
        text = template.read_text()
        for word in ("|safe", "hx-on", "js:", " style=", "<script>", "autoescape false"):
            assert word not in text, (template.name, word)
