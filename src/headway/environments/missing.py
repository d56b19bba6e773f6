"""From the last lines of a crash to the lock file that lacks the package, and the command that adds it."""

from __future__ import annotations

import posixpath
import re
import sys
from typing import TYPE_CHECKING

from headway.environments.failure import clean
from headway.environments.model import EnvKind, EnvSpec

if TYPE_CHECKING:
    from collections.abc import Collection

_NO_MODULE = re.compile(
    r"^(?:ModuleNotFoundError|ImportError): No module named '?([A-Za-z_][\w.]*)'?(; .*)?\s*$", re.MULTILINE
)
_NO_LIBRARY = re.compile(r"^ImportError: (lib[\w.+-]+): cannot open shared object file", re.MULTILINE)
_FRAME = re.compile(r'^\s*File "([^"]+)", line \d+', re.MULTILINE)

# Where the name that is imported is not the name that is installed.
_DISTRIBUTIONS = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cairo": "pycairo",
    "cv2": "opencv-python-headless",
    "Crypto": "pycryptodome",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "github": "pygithub",
    "hydra": "hydra-core",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "lightning_fabric": "lightning",
    "magic": "python-magic",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "skopt": "scikit-optimize",
    "snowflake": "snowflake-connector-python",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
# Left the standard library; the package that has them since.
_GONE = {"distutils": "setuptools", "asyncore": "pyasyncore", "asynchat": "pyasynchat", "cgi": "legacy-cgi"}
_LIBRARIES = {
    "libGL.so.1": "use opencv-python-headless in place of opencv-python",
    "libgomp.so.1": "install libgomp1 on the machine",
}


def missing_import_hint(
    tail: str, spec: EnvSpec, root: str = "", *, project_files: Collection[str] = (), changed: str = ""
) -> str:
    """Return what is missing where and how to add it; "" when the lines tell of no missing import.

    `root` is the project's folder in the repository, `project_files` its tracked files where they are known,
    `changed` what to call the place of the change ("in this change").
    """
    text = "\n".join(clean(line) for line in tail.splitlines())
    library = _last(_NO_LIBRARY, text)
    found = _last(_NO_MODULE, text)
    if found is None:
        return "" if library is None else _library_hint(library[1])
    module, rest = found[1], found[2] or ""
    top = module.split(".", maxsplit=1)[0]
    importer = _importer(text[: found.start()])
    if "is not a package" in rest:
        parent = module.rpartition(".")[0]
        return f"a file {parent.replace('.', '/')}.py hides the package {parent!r}: rename that file"
    if _is_own(top, project_files):
        return _own_hint(top, importer)
    if top in _GONE or top in sys.stdlib_module_names:
        return _stdlib_hint(top, spec)
    return _package_hint(module, importer, spec, root, changed)


def distribution_of(module: str) -> str:
    """Return the name to install for the name that is imported."""
    parts = module.split(".")
    if parts[0] == "google" and len(parts) > 2:
        return "-".join(parts[:3]).lower()
    return _DISTRIBUTIONS.get(parts[0], parts[0].replace("_", "-").lower())


def _package_hint(module: str, importer: str, spec: EnvSpec, root: str, changed: str) -> str:
    name = distribution_of(module)
    top = module.split(".", maxsplit=1)[0]
    subject = f"{importer} imports `{top}`" if importer else f"`{top}` is imported"
    where = f" {changed}" if changed else ""
    if spec.kind is EnvKind.NONE:
        return (
            f"{subject}, but the project names no packages{where}. "
            f"Write `{name}` into {posixpath.join(root, 'requirements.txt')}, commit, push"
        )
    file = posixpath.join(root, spec.files[0]) if spec.files else "the lock file"
    lacks = f"{subject}, but `{file}`{where} does not list `{name}`"
    if spec.kind is EnvKind.UV_LOCK:
        return f"{lacks}. Run `uv add {name}`, commit pyproject.toml and uv.lock, push"
    if spec.kind is EnvKind.PYPROJECT:
        return f"{lacks}. Add `{name}` under [project] dependencies (`uv add {name}` does), commit, push"
    if file.endswith(".lock"):
        return f"{lacks}. Add `{name}` to what it is made from, make it again (`uv pip compile`), commit, push"
    return f"{lacks}. Add a line `{name}` to it, commit, push"


def _own_hint(top: str, importer: str) -> str:
    by = f" when {importer} imports it" if importer else ""
    return (
        f"`{top}` is in the project but not found{by}: the step starts in the project's folder. "
        "Set the folder that holds it in headway.yaml: `env: {variables: {PYTHONPATH: src}}`"
    )


def _stdlib_hint(top: str, spec: EnvSpec) -> str:
    instead = _GONE.get(top, "")
    if instead:
        return (
            f"`{top}` is no part of Python {spec.python} any more: add `{instead}`, or choose an older Python in `env:`"
        )
    return f"`{top}` is part of another Python than {spec.python}: choose it in headway.yaml, `env: {{python: ...}}`"


def _library_hint(library: str) -> str:
    advice = _LIBRARIES.get(library, "install the system package that has it on the machine")
    return f"the system library {library} is missing: {advice}"


def _is_own(top: str, project_files: Collection[str]) -> bool:
    return any(
        path in (f"{top}.py", f"{top}/__init__.py") or path.endswith((f"/{top}.py", f"/{top}/__init__.py"))
        for path in project_files
    )


def _importer(before: str) -> str:
    frames = [path for path in _FRAME.findall(before) if not path.startswith("<")]
    return f"`{posixpath.basename(frames[-1])}`" if frames else ""


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for each in pattern.finditer(text):
        found = each
    return found
