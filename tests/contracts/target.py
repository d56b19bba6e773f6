"""What every target promises. A subclass gives `target`, `good`, `bad` and `restarted`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from headway.errors import UsageError
from headway.serving.base import Target
from headway.serving.model import Deployment, Observed, Route

NAME = "demo-production"


class TargetContract:
    """Run by `test_<implementation>_target.py`."""

    @pytest.fixture
    def target(self) -> Target:
        """A fresh target."""
        raise NotImplementedError

    def good(self, version: int, weight: int = 100) -> Route:
        """A route whose model loads."""
        raise NotImplementedError

    def bad(self, version: int, weight: int = 100) -> Route:
        """A route whose model does not load."""
        raise NotImplementedError

    def restarted(self, target: Target) -> Target:
        """The same target as a server finds it after its restart."""
        raise NotImplementedError

    def wanted(self, *routes: Route, revision: int = 1) -> Deployment:
        """A deployment of these routes."""
        raise NotImplementedError

    def wait(self, target: Target, seen: Callable[[Observed], bool], *, wanted: Deployment) -> Observed:
        """Reconcile as the server does until `seen`; never asserts on time."""
        deadline = time.monotonic() + 60
        observed = None
        while time.monotonic() < deadline:
            observed = target.observe(wanted.name)
            if observed is not None and seen(observed):
                return observed
            if observed is None or not observed.ready or observed.revision < wanted.revision:
                target.apply(wanted)
            time.sleep(0.05)
        raise AssertionError(f"not seen: {observed}\n" + "\n".join(target.logs(wanted.name, 40)))

    def apply(self, target: Target, wanted: Deployment) -> Observed:
        target.apply(wanted)
        return self.wait(target, lambda seen: seen.ready and seen.revision >= wanted.revision, wanted=wanted)

    def test_nothing_is_known_of_a_name_that_was_never_applied(self, target: Target) -> None:
        assert target.observe(NAME) is None
        assert target.logs(NAME, 10) == []
        target.remove(NAME)

    def test_what_is_applied_comes_into_force(self, target: Target) -> None:
        seen = self.apply(target, self.wanted(self.good(1)))
        assert seen.revision == 1
        assert seen.versions == {1: "ready"}

    def test_applying_again_changes_nothing(self, target: Target) -> None:
        wanted = self.wanted(self.good(1))
        before = self.apply(target, wanted)
        target.apply(wanted)
        after = self.apply(target, wanted)
        assert (after.url, after.revision, after.versions) == (before.url, before.revision, before.versions)

    def test_a_version_that_does_not_load_leaves_the_old_one_and_says_why(self, target: Target) -> None:
        self.apply(target, self.wanted(self.good(1)))
        broken = self.wanted(self.bad(2), revision=2)
        target.apply(broken)

        seen = self.wait(target, lambda each: each.versions.get(2, "").startswith("failed"), wanted=broken)

        assert "damaged" in seen.versions[2]
        assert seen.revision == 1
        assert seen.ready
        assert seen.versions[1] == "ready"

    def test_after_a_bad_version_a_good_one_comes_into_force(self, target: Target) -> None:
        self.apply(target, self.wanted(self.good(1)))
        broken = self.wanted(self.bad(2), revision=2)
        target.apply(broken)
        self.wait(target, lambda each: each.versions.get(2, "").startswith("failed"), wanted=broken)

        mended = self.wanted(self.good(3), revision=3)
        seen = self.apply(target, mended)

        assert seen.revision == 3
        assert seen.versions[3] == "ready"

    def test_going_back_is_one_more_revision(self, target: Target) -> None:
        self.apply(target, self.wanted(self.good(1)))
        self.apply(target, self.wanted(self.good(2), replace(self.good(1), weight=0), revision=2))
        seen = self.apply(target, self.wanted(self.good(1), replace(self.good(2), weight=0), revision=3))
        assert seen.versions[1] == "ready"

    def test_it_is_found_again_after_a_restart_of_the_server(self, target: Target) -> None:
        before = self.apply(target, self.wanted(self.good(1)))
        after = self.restarted(target).observe(NAME)
        assert after is not None
        assert (after.ready, after.url, after.revision) == (True, before.url, before.revision)

    def test_logs_are_cut_to_the_tail(self, target: Target) -> None:
        wanted = self.wanted(self.good(1))
        self.apply(target, wanted)
        self.wait(target, lambda _: bool(target.logs(NAME, 100)), wanted=wanted)
        assert len(target.logs(NAME, 1)) == 1
        assert target.logs(NAME, 0) == []

    def test_what_is_removed_is_forgotten(self, target: Target) -> None:
        self.apply(target, self.wanted(self.good(1)))
        target.remove(NAME)
        target.remove(NAME)
        assert target.observe(NAME) is None

    @pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden", "x" * 64])
    def test_a_name_that_is_no_name_is_refused(self, target: Target, name: str) -> None:
        with pytest.raises(UsageError, match="usable name"):
            target.apply(replace(self.wanted(self.good(1)), name=name))
