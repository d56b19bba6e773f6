"""Vendored browser files: `vendor.py update TARBALL` takes them out of an npm package, `vendor.py verify` checks them.

Fetch the package first, by name and exact version: `npm pack htmx.org@4.0.0`. Every hash in the manifest is computed
here from the bytes; none is copied from a README (htmx 4.0.1's quotes the hash of another version).
"""

# ruff: noqa: INP001  # a tool, no package

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "src/headway/web/static/vendor"
LICENSE = "LICENSE"

# npm name -> folder here, and which files of the package the pages use.
WANTED = {
    "htmx.org": ("htmx", ("dist/htmx.min.js",)),
    "uplot": ("uplot", ("dist/uPlot.iife.min.js", "dist/uPlot.min.css")),
}


def integrity(data: bytes) -> str:
    """Return what a browser compares: sha384, base64."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def update(tarball: Path) -> str:
    """Put the wanted files of a package in place and its entry into the manifest."""
    body = tarball.read_bytes()
    with tarfile.open(tarball, "r:gz") as archive:
        package = json.loads(_member(archive, "package.json"))
        folder, wanted = WANTED[package["name"]]
        files: dict[str, dict[str, str]] = {}
        place = VENDOR / folder / package["version"]
        place.mkdir(parents=True, exist_ok=True)
        for source in (*wanted, LICENSE):
            data = _member(archive, source)
            name = source.rsplit("/", 1)[-1]
            (place / name).write_bytes(data)
            files[f"{folder}/{package['version']}/{name}"] = {"source": source, "integrity": integrity(data)}
    manifest = [each for each in read_manifest(VENDOR) if each["name"] != package["name"]]
    manifest.append(
        {
            "name": package["name"],
            "version": package["version"],
            "license": package["license"],
            "package_sha512": hashlib.sha512(body).hexdigest(),
            "files": files,
        },
    )
    manifest.sort(key=lambda each: str(each["name"]))
    (VENDOR / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return f"{package['name']} {package['version']}: {len(files)} files"


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    stream = archive.extractfile(f"package/{path}")
    if stream is None:
        raise SystemExit(f"the package has no {path}")
    return stream.read()


def read_manifest(vendor: Path) -> list[dict[str, Any]]:
    """Return the packages that are here."""
    path = vendor / "manifest.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def problems(vendor: Path) -> list[str]:
    """Return everything that is not as the manifest says: changed, missing, stray, without licence."""
    found: list[str] = []
    listed: set[str] = set()
    for package in read_manifest(vendor):
        files = package["files"]
        if not package.get("license") or not any(path.endswith(f"/{LICENSE}") for path in files):
            found.append(f"{package['name']}: no licence")
        for path, entry in files.items():
            listed.add(path)
            if not (vendor / path).is_file():
                found.append(f"{path}: missing")
            elif integrity((vendor / path).read_bytes()) != entry["integrity"]:
                found.append(f"{path}: its bytes are not those of the manifest")
    here = {path.relative_to(vendor).as_posix() for path in vendor.rglob("*") if path.is_file()}
    found += [f"{path}: not in the manifest" for path in sorted(here - listed - {"manifest.json"})]
    return found if listed else ["the manifest lists nothing"]


def main(arguments: list[str]) -> int:
    """Run one of the two verbs."""
    if len(arguments) == 2 and arguments[0] == "update":
        sys.stdout.write(update(Path(arguments[1])) + "\n")
        return 0
    if arguments == ["verify"]:
        wrong = problems(VENDOR)
        sys.stdout.write("\n".join(wrong or ["every vendored file is as the manifest says"]) + "\n")
        return 1 if wrong else 0
    sys.stderr.write("usage: vendor.py update TARBALL | verify\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
