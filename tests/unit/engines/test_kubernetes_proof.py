"""What `headway doctor` says of the address that pods are told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from headway.engines.kubernetes.options import KubernetesOptions
from headway.engines.kubernetes.proof import prove
from headway.engines.proof import Finding


class _Cluster:
    address = "https://10.0.0.1:6443"

    def version(self) -> str:
        return "v1.20.2"

    def may(self, *_: object, **__: object) -> bool:
        return True


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("0.0.0.0", 0)) as listening:  # for a moment, and nobody is answered
        yield listening.getsockname()[1]


def _of_address(url: str) -> Finding:
    found = prove(lambda: cast("Any", _Cluster()), KubernetesOptions(image="headway:1", server_url=url))
    return next(each for each in found if each.name == "kubernetes address")


def test_address_that_answers(port: int) -> None:
    assert _of_address(f"http://0.0.0.0:{port}").state == "ok"


def test_nothing_listens_at_the_address() -> None:
    with socket.create_server(("0.0.0.0", 0)) as closed:  # only to find a free port
        port = closed.getsockname()[1]
    found = _of_address(f"http://0.0.0.0:{port}")
    assert found.state == "warn"
    assert "HEADWAY_HOST" in found.hint


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_leads_pods_to_themselves(host: str) -> None:
    found = _of_address(f"http://{host}:7474")
    assert found.state == "fail"
    assert "each pod to itself" in found.found
