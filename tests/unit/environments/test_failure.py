from __future__ import annotations

import pytest

from headway.environments.failure import BuildInterrupted, clean, explain, needs_build
from headway.environments.model import EnvKind, EnvSpec

SPEC = EnvSpec(digest="d", kind=EnvKind.REQUIREMENTS, python="3.11", files=("requirements.txt",))
NO_VERSION = """Using Python 3.11.7 environment at: /x
error: No solution found when resolving dependencies
  cause: Because there is no version of six==99 and you require six==99, we can conclude that your requirements are
         unsatisfiable.
"""
NO_WHEEL = """error: No solution found when resolving dependencies
  cause: Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude that
         your requirements are unsatisfiable.

hint: Wheels are required for `docopt` because building from source is disabled for all packages
"""
NO_WHEELS = "cause: Because all versions of Doc_Opt have no usable wheels and you require docopt"
REFUSED = """error: Failed to fetch: `http://127.0.0.1:9/simple/six/`
  cause: error sending request for url (http://127.0.0.1:9/simple/six/)
  cause: tcp connect error
"""
HASH = """error: Failed to download `six==1.16.0`
  cause: Hash mismatch for `six==1.16.0`

         Expected:
           sha256:1111
"""
UNKNOWN = "error: No solution found\n  cause: Because sixxy was not found in the package registry and you require sixxy"


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        (NO_VERSION, "begin with 'six'", "requirements.txt"),
        (HASH, "does not have the hash that requirements.txt states", "lock again"),
        (UNKNOWN, "no package 'sixxy'", "UV_INDEX"),
        ("error: No interpreter found for Python 3.19", "no Python 3.11", "env: {python"),
        ("error: Failed to build `docopt==0.6.2`\n  cause: The build backend returned an error", "'docopt'", "wheel"),
        ("error: something new", "uv failed on requirements.txt", "uv pip install --dry-run -r requirements.txt"),
    ],
)
def test_the_package_the_file_and_what_to_run_are_named(output: str, message: str, hint: str) -> None:
    failure = explain(output, SPEC)
    assert message in failure.message
    assert hint in failure.hint
    assert not failure.retryable
    assert "Using Python" not in failure.cause
    assert failure.cause


def test_network_and_disk_can_be_tried_again() -> None:
    network = explain(REFUSED, SPEC)
    assert isinstance(network, BuildInterrupted)
    assert network.retryable
    assert "index did not answer" in network.message
    assert "tcp connect error" in network.cause
    disk = explain("error: failed to write\n  cause: No space left on device (os error 28)", SPEC)
    assert disk.retryable
    assert "disk is full" in disk.message


def test_what_must_be_built_is_found_in_every_wording() -> None:
    assert needs_build(NO_WHEEL) == {"docopt"}
    assert needs_build(NO_WHEELS) == {"doc-opt"}
    assert needs_build("error: Building source distributions is disabled, but attempted to build `G.P`") == {"g-p"}
    assert needs_build(NO_VERSION) == frozenset()


def test_an_index_of_pip_that_was_not_used_is_mentioned_only_where_it_may_matter() -> None:
    assert "extra-index-url" in explain(UNKNOWN, SPEC, extra_index_ignored=True).hint
    assert "extra-index-url" not in explain(HASH, SPEC, extra_index_ignored=True).hint


def test_each_kind_is_locked_its_own_way() -> None:
    for kind, command in ((EnvKind.UV_LOCK, "`uv lock`"), (EnvKind.PYPROJECT, "commit uv.lock")):
        assert command in explain(NO_VERSION, EnvSpec(digest="d", kind=kind, python="3.11", files=("x",))).hint


def test_terminal_escapes_and_floods_are_cut() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\r\n") == "red link"
    assert len(explain("error: " + "x" * 10_000, SPEC).cause) == 1500
    assert explain("", SPEC).cause == "uv ended without a word"
