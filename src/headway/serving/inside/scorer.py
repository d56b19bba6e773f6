"""The process in which one model version lives: `<environment>/bin/python -I scorer.py FD`.

It speaks `frames` on the inherited stream socket FD. Requests that have already arrived and look alike are
answered by one call of the model; there is no timer. It ends when the endpoint goes away.
"""

# ruff: noqa: B905  # the Python of a model may be older than zip(strict=)

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Request = tuple[int, dict[str, Any], bytes]  # number, head, blob

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves the script's own folder out

import arrays
import frames
import loading

# A model may bring modules of the same names.
sys.path.pop(0)
for taken_name in ("arrays", "frames", "loading"):
    del sys.modules[taken_name]

CHUNK = 1 << 18
MOST_BYTES = 1 << 26  # taken into one batch
MOST_ROWS = 4096
PROOFS = 3  # so many batches must give what the requests give alone before batches are trusted


class Model:
    """A loaded model and how to ask it."""

    def __init__(self, loaded: loading.Loaded, signature: dict[str, Any], takes_parameters: bool) -> None:  # noqa: FBT001  # one caller
        """Tie the loader's result to its signature."""
        self.loaded = loaded
        self.signature = signature
        self.takes_parameters = takes_parameters
        self.shaper = arrays.Shaper(signature, loaded.width)
        self.names = [one.get("name") for one in signature.get("outputs", [])]
        self.batches: bool | None = None  # None = not proven yet
        self.agreements = 0

    def ask(self, head: dict[str, Any], columns: list[Any]) -> tuple[str, list[tuple[str, Any]]]:
        """Return the layout and the named output arrays for one set of input arrays."""
        data = self.shaper.build(head["layout"], [one["name"] for one in head["arrays"]], columns)
        parameters = head.get("parameters")
        if parameters and self.takes_parameters:
            result = self.loaded.predict(data, params=parameters)
        else:
            result = self.loaded.predict(data)
        layout, named = arrays.outputs(result, self.names)
        if "probabilities" in head.get("want", ()) and self.loaded.has_probabilities:
            named.append(("probabilities", arrays.np.asarray(self.loaded.raw.predict_proba(data))))
        return layout, named


def answer(number: int, layout: str, named: list[tuple[str, Any]]) -> bytes:
    """Return the frame that carries a prediction."""
    entries, blob, missing = arrays.write(named)
    head = {"layout": layout, "arrays": entries, "missing": missing}
    return frames.pack(frames.ANSWER, number, json.dumps(head).encode(), blob)


def failure(number: int, error: BaseException) -> bytes:
    """Return the frame that tells of an exception; what the model said stays in the endpoint's log."""
    if isinstance(error, arrays.BadInput):
        return frames.pack(frames.BAD_INPUT, number, json.dumps({"error": str(error)}).encode())
    text = f"{type(error).__name__}: {error}"
    print("request failed:", traceback.format_exc(limit=-4), file=sys.stderr, flush=True)
    return frames.pack(frames.MODEL_ERROR, number, json.dumps({"error": text[:2000]}).encode())


def predict_alone(model: Model, number: int, head: dict[str, Any], blob: bytes) -> bytes:
    """Answer one request; an exception becomes its answer."""
    try:
        layout, named = model.ask(head, arrays.read(head["arrays"], blob))
        return answer(number, layout, named)
    except Exception as error:
        return failure(number, error)


def predict_together(model: Model, requests: list[Request]) -> list[bytes]:
    """Answer requests of equal form by one call; fall back to one by one, so that a bad one spoils no other."""
    rows = [head["arrays"][0]["shape"][0] for _, head, _ in requests]
    layout = ""
    try:
        parts = [arrays.read(head["arrays"], blob) for _, head, blob in requests]
        layout, named = model.ask(requests[0][1], arrays.join(parts))
    except Exception:
        named = []
    if not named or any(len(array) != sum(rows) for _, array in named):
        return [predict_alone(model, *request) for request in requests]
    found = []
    start = 0
    for (number, _, _), count in zip(requests, rows):
        found.append(answer(number, layout, [(name, array[start : start + count]) for name, array in named]))
        start += count
    return found


def prove(model: Model, requests: list[Request]) -> list[bytes]:
    """Answer one by one, and learn whether one call for all would have given the same: no example told so far."""
    try:
        parts = [arrays.read(head["arrays"], blob) for _, head, blob in requests]
        alone = [model.ask(head, part) for (_, head, _), part in zip(requests, parts)]
    except Exception:
        return [predict_alone(model, *request) for request in requests]
    try:
        _, together = model.ask(requests[0][1], arrays.join(parts))
        stacked = [
            (named[0][0], arrays.np.concatenate([one for _, one in named])) for named in zip(*(a for _, a in alone))
        ]
        same = len(stacked) == len(together) and all(is_same(a, b) for (_, a), (_, b) in zip(stacked, together))
    except Exception:
        same = False
    model.agreements += 1
    if not same or model.agreements >= PROOFS:
        model.batches = same
    return [answer(number, layout, named) for (number, _, _), (layout, named) in zip(requests, alone)]


def form(head: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return what two requests must have in common to share a call; None = must be alone."""
    if head.get("parameters") or any(not one["shape"] or not one["shape"][0] for one in head["arrays"]):
        return None
    described = tuple((one["name"], one["datatype"], tuple(one["shape"][1:])) for one in head["arrays"])
    return head["layout"], tuple(head.get("want", ())), described


def work(model: Model, taken: list[tuple[int, bytes, bytes]]) -> bytes:
    """Answer all requests that have arrived; return the bytes to send."""
    out = []
    groups = {}
    for number, head_bytes, blob in taken:
        head = json.loads(head_bytes)
        key = form(head) if model.batches is not False and len(taken) > 1 else None
        if key is None:
            out.append(predict_alone(model, number, head, blob))
        else:
            groups.setdefault(key, []).append((number, head, blob))
    for requests in groups.values():
        for batch in cut(requests):
            if len(batch) == 1:
                out.append(predict_alone(model, *batch[0]))
            else:
                out.extend(predict_together(model, batch) if model.batches else prove(model, batch))
    return b"".join(out)


def cut(requests: list[Request]) -> Iterator[list[Request]]:
    """Split requests into batches of at most MOST_ROWS rows."""
    batch = []
    rows = 0
    for request in requests:
        count = request[1]["arrays"][0]["shape"][0]
        if batch and rows + count > MOST_ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(request)
        rows += count
    if batch:
        yield batch


def serve(stream: socket.socket, model: Model, buffer: bytearray) -> None:
    """Answer until the endpoint says stop or goes away."""
    while receive(stream, buffer):
        taken = []
        for kind, number, head, blob in frames.take(buffer):
            if kind == frames.STOP:
                return
            taken.append((number, head, blob))
        if taken:
            stream.sendall(work(model, taken))


def receive(stream: socket.socket, buffer: bytearray) -> bool:
    """Wait for bytes, then take whatever else has arrived; False at the end of the stream."""
    chunk = stream.recv(CHUNK)
    while chunk:
        buffer += chunk
        if len(buffer) > MOST_BYTES:
            return True
        try:
            chunk = stream.recv(CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
    return False


def warm_up(model: Model, example: tuple[str, dict[str, list[Any]]] | None) -> list[dict[str, Any]]:
    """Predict the input example; learn the form of the answer, and whether rows may be asked together."""
    if arrays.np is None:
        model.batches = False
        return []
    if example is None:
        return []
    layout, values = example
    given = [example_column(one) if layout == "table" else arrays.np.asarray(one) for one in values.values()]
    head = {"layout": layout, "arrays": [{"name": name} for name in values]}
    _, once = model.ask(head, given)
    _, twice = model.ask(head, [arrays.np.concatenate([array, array]) for array in given])
    model.batches = is_independent(once, twice, len(given[0]))
    return [described(name, array) for name, array in once]


def example_column(values: list[Any]) -> Any:
    """Return a column of the example as the endpoint would send it."""
    if all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values):
        has_gap = any(value is None or isinstance(value, float) for value in values)
        return arrays.np.array(values, dtype="f8" if has_gap else "i8")
    if all(isinstance(value, bool) for value in values):
        return arrays.np.array(values)
    found = arrays.np.empty(len(values), dtype=object)
    found[:] = values
    return found


def is_independent(once: list[tuple[str, Any]], twice: list[tuple[str, Any]], rows: int) -> bool:
    """Whether asking the rows twice in one call gave each answer twice: then batching changes nothing."""
    if len(once) != len(twice):
        return False
    for (_, small), (_, large) in zip(once, twice):
        if len(small) != rows or not is_same(arrays.np.concatenate([small, small]), large):
            return False
    return True


def is_same(one: Any, other: Any) -> bool:
    """Whether two answers are equal, up to the rounding that another order of additions brings."""
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        return bool(arrays.np.allclose(one, other, rtol=1e-4, atol=1e-7, equal_nan=True))
    return bool(one.tolist() == other.tolist())


def described(name: str, array: Any) -> dict[str, Any]:
    """Return an output as model metadata states it."""
    datatype = arrays.DATATYPES.get(array.dtype, "BYTES")
    return {"name": name, "datatype": datatype, "shape": [-1, *array.shape[1:]]}


def megabytes() -> float:
    """Return the resident memory of this process, where the system tells."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


def start(stream: socket.socket, buffer: bytearray) -> Model | None:
    """Wait for the order to load, load, and tell how it went; None when it failed."""
    orders = []
    while not orders:
        if not receive(stream, buffer):
            return None
        orders = frames.take(buffer)
    order = json.loads(orders[0][2])
    began = time.monotonic()
    try:
        limit_memory(order.get("memory_mb"))
        loaded = loading.load_model(Path(order["folder"]), order["flavors"])
        if loaded.loader != "headway_model.py" and order["signature"]["kind"] != "tensors":
            arrays.pandas()  # now, and not in the first request
        model = Model(loaded, order["signature"], order["takes_parameters"])
    except BaseException as error:  # also SystemExit: whatever the model did, the reason is told
        reason = f"{type(error).__name__}: {error}"
        lines = traceback.format_exc(limit=-3).splitlines()[-12:]
        report = {"reason": reason[:2000], "lines": lines}
        stream.sendall(frames.pack(frames.NOT_LOADED, 0, json.dumps(report).encode()))
        return None
    outputs, warning = [], ""
    try:
        outputs = warm_up(model, loading.read_example(Path(order["folder"]), order["example"]))
    except Exception as error:
        warning = f"the model did not predict its own input example: {type(error).__name__}: {error}"[:2000]
    report = {
        "loader": loaded.loader,
        "outputs": outputs,
        "warning": warning,
        "width": loaded.width,
        "probabilities": loaded.has_probabilities,
        "batches": model.batches is True,
        "seconds": round(time.monotonic() - began, 3),
        "memory_mb": round(megabytes(), 1),
        "python": sys.version.split()[0],
    }
    stream.sendall(frames.pack(frames.LOADED, 0, json.dumps(report).encode()))
    return model


def limit_memory(megabytes_allowed: int | None) -> None:
    """Let the model fail to allocate rather than take the machine down."""
    if megabytes_allowed:
        size = megabytes_allowed << 20
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def die_with_parent() -> None:
    """Leave no orphan, also when the model never comes back from a call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Load, then serve."""
    die_with_parent()
    stream = socket.socket(fileno=int(sys.argv[1]))
    buffer = bytearray()
    model = start(stream, buffer)
    if model is None:
        sys.exit(3)
    serve(stream, model, buffer)


if __name__ == "__main__":
    main()
