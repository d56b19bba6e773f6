"""One real node for the session, a namespace of its own for each test (make test-kubernetes)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from fakes.kubernetes_node import Node, running_node


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A failure to start is a failure of every test, not a skip."""
    with running_node() as running:
        yield running


@pytest.fixture
def namespace(node: Node) -> Iterator[str]:
    """A fresh namespace; what is in it goes with it."""
    name = f"test-{secrets.token_hex(4)}"
    node.run_kubectl("create", "namespace", name)
    yield name
    node.run_kubectl("delete", "namespace", name, "--wait=false")
