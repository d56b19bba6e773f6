"""What Headway needs of a Kubernetes API: one suite, for the real server and for the fake that the other tests use."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from headway.errors import NotFound, Unreachable, UsageError
from headway.kube import Kube
from headway.kube_errors import WatchGap

PATIENCE = 60.0


class KubeContract:
    """Subclasses give `kube` and `namespace`."""

    @pytest.fixture
    def kube(self) -> Kube:
        raise NotImplementedError

    @pytest.fixture
    def namespace(self) -> str:
        raise NotImplementedError

    def job(self, namespace: str, **labels: str) -> dict[str, Any]:
        pod = {"restartPolicy": "Never", "containers": [{"name": "step", "image": "localhost/none:1"}]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"j-{secrets.token_hex(4)}", "namespace": namespace, "labels": labels},
            "spec": {"backoffLimit": 0, "template": {"spec": {**pod, "nodeSelector": {"nobody": "here"}}}},
        }

    def test_creating_twice_gives_the_first_one(self, kube: Any, namespace: str) -> None:
        document = self.job(namespace, a="1")
        made, is_new = kube.create(document)
        again, is_new_again = kube.create(document)
        assert (is_new, is_new_again) == (True, False)
        assert made["metadata"]["uid"] == again["metadata"]["uid"]

    def test_what_is_absent_is_none_and_deleting_it_is_fine(self, kube: Any, namespace: str) -> None:
        assert kube.get("Job", "never", namespace=namespace) is None
        assert kube.delete("Job", "never", namespace=namespace) is False
        assert kube.patch("Secret", "never", {"metadata": {"labels": {"a": "b"}}}, namespace=namespace) is None
        assert kube.log("never", namespace=namespace, container="step") == b""

    def test_a_namespace_that_is_not_there_is_named(self, kube: Any) -> None:
        with pytest.raises(NotFound, match="no namespace 'nowhere'"):
            kube.create(self.job("nowhere"))

    def test_a_patch_merges(self, kube: Any, namespace: str) -> None:
        name = f"s-{secrets.token_hex(4)}"
        metadata = {"name": name, "namespace": namespace, "labels": {"a": "1"}}
        kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"k": "v"}})
        kube.patch("Secret", name, {"metadata": {"labels": {"b": "2"}}}, namespace=namespace)
        assert kube.get("Secret", name, namespace=namespace)["metadata"]["labels"] == {"a": "1", "b": "2"}

    def test_a_list_is_what_the_labels_choose(self, kube: Any, namespace: str) -> None:
        mark = secrets.token_hex(4)
        names = {kube.create(self.job(namespace, mark=mark))[0]["metadata"]["name"] for _ in range(2)}
        kube.create(self.job(namespace, mark="other"))
        found = kube.list("Job", namespace=namespace, labels=f"mark={mark}")
        assert {each["metadata"]["name"] for each in found.items} == names
        assert found.version

    def test_a_watch_tells_what_comes_changes_and_goes(self, kube: Any, namespace: str) -> None:
        mark = secrets.token_hex(4)
        version = kube.list("Secret", namespace=namespace, labels=f"mark={mark}").version
        seen: list[str] = []

        def watch() -> None:
            found = kube.watch("Secret", namespace=namespace, labels=f"mark={mark}", version=version, seconds=10)
            with suppress(Unreachable):  # it may outlive the test, and the server with it
                seen.extend(change.type for change in found)  # one by one, as they come

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        name = f"s-{mark}"
        metadata = {"name": name, "namespace": namespace, "labels": {"mark": mark}}
        kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
        kube.patch("Secret", name, {"metadata": {"annotations": {"b": "2"}}}, namespace=namespace)
        kube.delete("Secret", name, namespace=namespace)
        deadline = time.monotonic() + PATIENCE
        while "DELETED" not in seen and time.monotonic() < deadline:
            time.sleep(0.05)
        told = [each for each in seen if each != "BOOKMARK"]
        assert told[0] == "ADDED"
        assert told[-1] == "DELETED"
        assert set(told[1:-1]) == {"MODIFIED"}

    def test_a_watch_ends_by_itself(self, kube: Any, namespace: str) -> None:
        version = kube.list("Job", namespace=namespace).version
        assert [each.type for each in kube.watch("Job", namespace=namespace, version=version, seconds=1)] in (
            [],
            ["BOOKMARK"],
        )

    def test_a_watch_from_what_is_forgotten_has_a_gap(self, kube: Any, namespace: str) -> None:
        kube.create(self.job(namespace))
        self.forget(kube, namespace)
        with pytest.raises(WatchGap):
            list(kube.watch("Job", namespace=namespace, version="1", seconds=2))

    def forget(self, kube: Any, namespace: str) -> None:
        """Make the server forget its first versions."""
        raise NotImplementedError

    def test_what_belongs_to_a_job_goes_with_it(self, kube: Any, namespace: str) -> None:
        job, _ = kube.create(self.job(namespace))
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job["metadata"]["name"],
            "uid": job["metadata"]["uid"],
        }
        metadata = {"name": job["metadata"]["name"], "namespace": namespace, "ownerReferences": [owner]}
        kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
        assert kube.delete("Job", job["metadata"]["name"], namespace=namespace)
        deadline = time.monotonic() + PATIENCE
        while kube.get("Secret", metadata["name"], namespace=namespace) is not None:
            assert time.monotonic() < deadline, "the secret outlived its Job"
            time.sleep(0.1)
        assert kube.get("Job", metadata["name"], namespace=namespace) is None

    def test_it_says_its_version_and_what_one_may_do(self, kube: Any, namespace: str) -> None:
        assert kube.version().startswith("v1.")
        assert kube.may("create", "Job", namespace=namespace) is True
        assert kube.may("get", "Pod", namespace=namespace, subresource="log") is True

    def test_what_makes_no_sense_is_said_to(self, kube: Any, namespace: str) -> None:
        document = self.job(namespace)
        document["spec"]["template"]["spec"]["containers"] = []
        with pytest.raises(UsageError, match="does not take"):
            kube.create(document)
