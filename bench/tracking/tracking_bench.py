#!/usr/bin/env python3
"""Benchmark for any server that speaks the MLflow REST 2.0 tracking protocol.

The load is raw HTTP/1.1 over keep-alive sockets, built here with nothing but the
standard library, so the numbers describe the server and not a client library.  One
small scenario ("client") drives the real ``mlflow`` package, if it can be imported,
to show what a user of the unmodified client sees.

Examples
--------
Against a running server::

    tracking_bench.py --uri http://127.0.0.1:5000 --json out.json

Launch the server as well, which adds start-up time and memory::

    tracking_bench.py --uri http://127.0.0.1:5000 \\
        --launch "mlflow server --port 5000 --backend-store-uri sqlite:///x.db" \\
        --scenario all --json out.json

The server should be empty: search timings depend on what it holds.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing as mp
import os
import platform
import random
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from pathlib import Path
from typing import Any, Callable, Iterable

API = "/api/2.0/mlflow"
AJAX = "/ajax-api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SCENARIOS = (
    "create_run",
    "log_metric",
    "log_batch",
    "populate",
    "search",
    "history",
    "artifacts",
    "client",
)


class HTTPError(RuntimeError):
    def __init__(self, method: str, path: str, status: int, body: bytes):
        super().__init__(f"{method} {path} -> {status}: {body[:300]!r}")
        self.status = status


class Connection:
    """A single keep-alive HTTP/1.1 connection, as cheap as Python allows."""

    def __init__(self, uri: str, timeout: float = 600.0):
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme != "http":
            raise ValueError("only http:// URIs are supported")
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 80
        self.prefix = parts.path.rstrip("/")
        # http://:TOKEN@host:port logs in.
        self.login = f"Authorization: Bearer {parts.password}\r\n" if parts.password else ""
        self.timeout = timeout
        self.sock: socket.socket | None = None
        self.buffer = b""

    def connect(self) -> None:
        self.sock = socket.create_connection((self.host, self.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- requests ---------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        file: Any = None,
        file_size: int = 0,
        sink: Callable[[bytes], Any] | None = None,
    ) -> tuple[int, bytes]:
        """Send one request; return (status, body).  With sink, the body goes there."""
        length = file_size if file is not None else len(body)
        head = (
            f"{method} {self.prefix}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"{self.login}Accept: */*\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()
        fresh = self.sock is None
        try:
            return self._exchange(method, head, body, file, sink)
        except (ConnectionError, BrokenPipeError):
            self.close()
            # A server may close an idle keep-alive connection: retry once on a new one.
            if fresh or file is not None:
                raise
            return self._exchange(method, head, body, file, sink)

    def _exchange(self, method, head, body, file, sink) -> tuple[int, bytes]:
        if self.sock is None:
            self.connect()
        assert self.sock is not None
        if file is not None:
            self.sock.sendall(head)
            self.sock.sendfile(file)
        else:
            self.sock.sendall(head + body)
        return self._response(method, sink)

    def _more(self) -> bytes:
        assert self.sock is not None
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError("connection closed by the server")
        return data

    def _response(self, method: str, sink) -> tuple[int, bytes]:
        while True:
            while (end := self.buffer.find(b"\r\n\r\n")) < 0:
                self.buffer += self._more()
            lines = self.buffer[:end].split(b"\r\n")
            self.buffer = self.buffer[end + 4 :]
            status = int(lines[0].split(b" ", 2)[1])
            if status != 100:
                break
        length, chunked, close = None, False, False
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = b"chunked" in value.lower()
            elif name == b"connection":
                close = b"close" in value.lower()
        out = _Sink(sink)
        if method == "HEAD" or status in (204, 304):
            pass
        elif chunked:
            self._read_chunked(out)
        elif length is not None:
            self._read_exactly(length, out)
        else:
            close = True
            out(self.buffer)
            self.buffer = b""
            assert self.sock is not None
            while data := self.sock.recv(1 << 18):
                out(data)
        if close:
            self.close()
        return status, out.value()

    def _read_exactly(self, length: int, out: "_Sink") -> None:
        have, self.buffer = self.buffer[:length], self.buffer[length:]
        out(have)
        left = length - len(have)
        while left:
            data = self._more()
            if len(data) > left:
                data, self.buffer = data[:left], data[left:]
            out(data)
            left -= len(data)

    def _read_chunked(self, out: "_Sink") -> None:
        while True:
            while (end := self.buffer.find(b"\r\n")) < 0:
                self.buffer += self._more()
            size = int(self.buffer[:end].split(b";")[0], 16)
            self.buffer = self.buffer[end + 2 :]
            if size:
                self._read_exactly(size, out)
            self._read_exactly(2, _Sink(lambda _: None))
            if not size:
                return

    # -- helpers ----------------------------------------------------------------

    def json(self, method: str, path: str, payload: Any = None) -> Any:
        body = b"" if payload is None else json.dumps(payload, separators=(",", ":")).encode()
        status, raw = self.request(method, path, body)
        if status >= 400:
            raise HTTPError(method, path, status, raw)
        return json.loads(raw) if raw else {}

    def post(self, endpoint: str, payload: Any) -> Any:
        return self.json("POST", f"{API}/{endpoint}", payload)

    def get(self, endpoint: str, query: Iterable[tuple[str, Any]] = (), base: str = API) -> Any:
        return self.json("GET", f"{base}/{endpoint}?{urllib.parse.urlencode(list(query))}")


class _Sink:
    """Collects a body, or hands its pieces on."""

    def __init__(self, target: Callable[[bytes], Any] | None):
        self.target = target
        self.parts: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        if self.target is not None:
            self.target(data)
        else:
            self.parts.append(data)

    def value(self) -> bytes:
        return b"".join(self.parts)


# -- statistics ---------------------------------------------------------------------


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))]


def latencies(values: list[float]) -> dict[str, float]:
    """Summarise seconds as milliseconds."""
    return {
        "n": len(values),
        "p50_ms": round(quantile(values, 0.50) * 1e3, 3),
        "p90_ms": round(quantile(values, 0.90) * 1e3, 3),
        "p99_ms": round(quantile(values, 0.99) * 1e3, 3),
        "mean_ms": round(statistics.fmean(values) * 1e3, 3),
    }


def timed(
    call: Callable[[], Any], count: int, max_seconds: float, least_seconds: float = 0.0
) -> list[float]:
    """Call count times and for least_seconds, or until max_seconds have passed (three times at least).

    CPU is counted in ticks of 10 ms, so a fast server must be called for longer.
    """
    out: list[float] = []
    start = time.perf_counter()
    while len(out) < count or time.perf_counter() - start < least_seconds:
        t = time.perf_counter()
        call()
        out.append(time.perf_counter() - t)
        if len(out) > 2 and time.perf_counter() - start > max_seconds:
            break
    return out


def now_ms() -> int:
    return int(time.time() * 1000)


# -- load from several processes ----------------------------------------------------


def _worker(fn, uri, index, args, barrier, queue) -> None:
    gc.disable()
    try:
        with Connection(uri) as conn:
            conn.request("GET", "/health")
            barrier.wait(120)
            queue.put((index, fn(conn, index, *args), None))
    except BaseException as exc:  # reported by the parent
        barrier.abort()
        queue.put((index, None, repr(exc)))


def parallel(fn: Callable[..., Any], uri: str, connections: int, *args: Any) -> tuple[list[Any], float]:
    """Run fn(conn, index, *args) in `connections` processes; return results and wall time."""
    ctx = mp.get_context("fork")
    barrier, queue = ctx.Barrier(connections + 1), ctx.Queue()
    workers = [
        ctx.Process(target=_worker, args=(fn, uri, i, args, barrier, queue), daemon=True)
        for i in range(connections)
    ]
    for w in workers:
        w.start()
    try:
        barrier.wait(120)
    except threading.BrokenBarrierError:
        pass
    start = time.perf_counter()
    results = [queue.get() for _ in workers]
    wall = time.perf_counter() - start
    for w in workers:
        w.join()
    errors = [e for _, _, e in results if e]
    if errors:
        raise RuntimeError(f"{len(errors)} of {connections} workers failed: {errors[0]}")
    return [r for _, r, _ in sorted(results)], wall


# -- scenarios ----------------------------------------------------------------------


class Bench:
    def __init__(self, args: argparse.Namespace, pid: int | None = None):
        self.args = args
        self.uri = args.uri
        self.pid = pid
        self.is_alone = getattr(args, "alone", False)
        self.tag = uuid.uuid4().hex[:8]

    def cpu(self) -> float:
        """CPU seconds the server has used; a steadier yardstick than wall time on a busy machine."""
        return cpu_seconds(self.pid, alone=self.is_alone) if self.pid else math.nan

    def per_call(self, before: float, calls: int) -> dict[str, float]:
        used = self.cpu() - before
        return {} if math.isnan(used) else {"server_cpu_ms_per_call": round(used / calls * 1e3, 3)}

    def sample(self, call: Callable[[], Any], count: int) -> tuple[list[float], dict[str, float]]:
        """Time a call many times; return the times and their summary."""
        before = self.cpu()
        took = timed(call, count, self.args.seconds, getattr(self.args, "least", 0.0))
        return took, {**latencies(took), **self.per_call(before, len(took))}

    def experiment(self, conn: Connection, name: str) -> str:
        return conn.post("experiments/create", {"name": f"bench-{name}-{self.tag}"})["experiment_id"]

    def run(self, conn: Connection, experiment: str, **fields: Any) -> str:
        payload = {"experiment_id": experiment, "start_time": now_ms(), "user_id": "bench", **fields}
        return conn.post("runs/create", payload)["run"]["info"]["run_id"]

    # (a)
    def create_run(self) -> dict[str, Any]:
        with Connection(self.uri) as conn:
            exp = self.experiment(conn, "create")
            for _ in range(20):
                self.run(conn, exp)
            return self.sample(lambda: self.run(conn, exp, run_name="r"), self.args.requests)[1]

    # (b)
    def log_metric(self) -> dict[str, Any]:
        with Connection(self.uri) as conn:
            exp = self.experiment(conn, "metric")
            runs = [self.run(conn, exp) for _ in range(8)]
        out: dict[str, Any] = {}
        for connections in (1, 8):
            before = self.cpu()
            results, wall = parallel(_log_metric_loop, self.uri, connections, runs, self.args.seconds)
            every = [x for r in results for x in r]
            out[f"connections_{connections}"] = {
                "calls_per_s": round(len(every) / wall, 1),
                **latencies(every),
                **self.per_call(before, len(every)),
            }
        return out

    # (c)
    def log_batch(self) -> dict[str, Any]:
        with Connection(self.uri) as conn:
            exp = self.experiment(conn, "batch")
            run = self.run(conn, exp)
            out = {}
            for label, keys in (("one_key_1000_steps", 1), ("1000_keys", 1000)):
                steps = iter(range(10**9))

                def send() -> None:
                    t = now_ms()
                    metrics = []
                    for i in range(1000):
                        step = next(steps)
                        metrics.append(
                            {
                                "key": f"{label}/{i % keys}",
                                "value": random.random(),
                                "timestamp": t,
                                "step": step,
                            }
                        )
                    conn.post("runs/log-batch", {"run_id": run, "metrics": metrics})

                send()
                took, summary = self.sample(send, 40)
                out[label] = {
                    "metrics_per_s": round(1000 / statistics.median(took), 1),
                    **summary,
                }
        return out

    # (d)
    def populate(self) -> dict[str, Any]:
        n, connections = self.args.runs, self.args.connections
        with Connection(self.uri) as conn:
            self.search_experiment = self.experiment(conn, "search")
        before = self.cpu()
        results, wall = parallel(
            _populate_loop, self.uri, connections, self.search_experiment, n, connections
        )
        every = [x for r in results for x in r]
        return {
            "runs": len(every),
            "connections": connections,
            "runs_per_s": round(len(every) / wall, 1),
            "requests_per_run": 3,
            "wall_s": round(wall, 2),
            "per_run": {**latencies(every), **self.per_call(before, len(every))},
        }

    # (e)
    def search(self) -> dict[str, Any]:
        exp = getattr(self, "search_experiment", None)
        if exp is None:
            self.populate()
            exp = self.search_experiment
        flt = "metrics.f1 > 0.9 and params.model = 'a'"
        queries: dict[str, dict[str, Any]] = {
            "filter_metric_param_order_metric_100": {
                "filter": flt,
                "order_by": ["metrics.f1 DESC"],
                "max_results": 100,
            },
            "newest_1000": {"max_results": 1000},
            "newest_100": {"max_results": 100},
            "order_by_metric_100_no_filter": {"order_by": ["metrics.f1 DESC"], "max_results": 100},
            "tag_like_100": {"filter": "tags.team LIKE 'vis%'", "max_results": 100},
        }
        out: dict[str, Any] = {"runs": self.args.runs}
        with Connection(self.uri) as conn:
            for name, query in queries.items():
                payload = {"experiment_ids": [exp], **query}
                got = conn.post("runs/search", payload)
                summary = self.sample(lambda: conn.post("runs/search", payload), 100)[1]
                out[name] = {"returned": len(got.get("runs", [])), **summary}
            first = conn.post("runs/search", {"experiment_ids": [exp], "max_results": 1})["runs"][0]
            rid = first["info"]["run_id"]
            out["get_run"] = self.sample(lambda: conn.get("runs/get", [("run_id", rid)]), 200)[1]
            start, seen, token = time.perf_counter(), 0, None
            while True:
                payload = {"experiment_ids": [exp], "max_results": 1000}
                if token:
                    payload["page_token"] = token
                page = conn.post("runs/search", payload)
                seen += len(page.get("runs", []))
                token = page.get("next_page_token")
                if not token:
                    break
            out["page_through_all"] = {
                "runs": seen,
                "seconds": round(time.perf_counter() - start, 3),
            }
        return out

    # (f)
    def history(self) -> dict[str, Any]:
        points = self.args.points
        with Connection(self.uri) as conn:
            exp = self.experiment(conn, "history")
            run = self.run(conn, exp)
            start = time.perf_counter()
            for base in range(0, points, 1000):
                metrics = [
                    {"key": "loss", "value": 1 / (i + 1), "timestamp": 1_700_000_000_000 + i, "step": i}
                    for i in range(base, min(base + 1000, points))
                ]
                conn.post("runs/log-batch", {"run_id": run, "metrics": metrics})
            wrote = time.perf_counter() - start
            out: dict[str, Any] = {
                "points": points,
                "write_s": round(wrote, 2),
                "write_metrics_per_s": round(points / wrote, 1),
            }
            base = [("run_id", run), ("metric_key", "loss")]

            def whole() -> int:
                return len(conn.get("metrics/get-history", base).get("metrics", []))

            def paged() -> int:
                seen, token = 0, None
                while True:
                    query = base + [("max_results", 25000)]
                    if token:
                        query.append(("page_token", token))
                    page = conn.get("metrics/get-history", query)
                    seen += len(page.get("metrics", []))
                    token = page.get("next_page_token")
                    if not token:
                        return seen

            def bulk() -> int:
                query = [("run_id", run), ("metric_key", "loss"), ("max_results", 25000)]
                return len(conn.get("metrics/get-history-bulk", query, AJAX).get("metrics", []))

            def interval() -> int:
                query = [("run_ids", run), ("metric_key", "loss"), ("max_results", 2500)]
                return len(conn.get("metrics/get-history-bulk-interval", query, AJAX).get("metrics", []))

            for name, call in (
                ("get_history_unpaged", whole),
                ("get_history_paged_25000", paged),
                ("get_history_bulk_25000", bulk),
                ("get_history_bulk_interval_2500", interval),
            ):
                try:
                    got = call()
                except HTTPError as exc:
                    out[name] = {"unsupported": exc.status}
                    continue
                took, summary = self.sample(call, 7)
                out[name] = {
                    "points": got,
                    "points_per_s": round(got / statistics.median(took), 1),
                    **summary,
                }
        return out

    # (g)
    def artifacts(self) -> dict[str, Any]:
        mb = self.args.artifact_mb
        out: dict[str, Any] = {}
        prefix = f"{ARTIFACTS}/bench-{self.tag}"
        with Connection(self.uri) as conn, tempfile.TemporaryFile() as file:
            block = os.urandom(1 << 20)
            for _ in range(mb):
                file.write(block)
            file.flush()
            size = mb << 20
            try:
                up, down = [], []
                before = self.cpu()
                for attempt in range(3):
                    file.seek(0)
                    t = time.perf_counter()
                    status, raw = conn.request(
                        "PUT",
                        f"{prefix}/big-{attempt}.bin",
                        content_type="application/octet-stream",
                        file=file,
                        file_size=size,
                    )
                    up.append(time.perf_counter() - t)
                    if status >= 400:
                        raise HTTPError("PUT", prefix, status, raw)
                out["upload_cpu"] = self.per_call(before, 3)
                before = self.cpu()
                for attempt in range(3):
                    got = [0]
                    t = time.perf_counter()
                    status, raw = conn.request(
                        "GET",
                        f"{prefix}/big-{attempt}.bin",
                        sink=lambda d: got.__setitem__(0, got[0] + len(d)),
                    )
                    down.append(time.perf_counter() - t)
                    if status >= 400 or got[0] != size:
                        raise HTTPError("GET", prefix, status, raw)
            except HTTPError as exc:
                return {"unsupported": str(exc)}
            out["download_cpu"] = self.per_call(before, 3)
            out["big_file_mb"] = mb
            out["upload_mb_per_s"] = round(mb / statistics.median(up), 1)
            out["download_mb_per_s"] = round(mb / statistics.median(down), 1)
            small = os.urandom(4096)
            n = self.args.small_files
            names = [f"{prefix}/small/{i:05d}.bin" for i in range(n)]

            def put(path: str) -> None:
                status, raw = conn.request("PUT", path, small, "application/octet-stream")
                if status >= 400:
                    raise HTTPError("PUT", path, status, raw)

            def fetch(path: str) -> None:
                status, raw = conn.request("GET", path)
                if status >= 400 or len(raw) != 4096:
                    raise HTTPError("GET", path, status, raw)

            for label, call in (("upload", put), ("download", fetch)):
                took = []
                before = self.cpu()
                for name in names:
                    t = time.perf_counter()
                    call(name)
                    took.append(time.perf_counter() - t)
                out[f"small_{label}_files_per_s"] = round(n / sum(took), 1)
                out[f"small_{label}_mb_per_s"] = round(n * 4096 / sum(took) / (1 << 20), 2)
                out[f"small_{label}"] = {**latencies(took), **self.per_call(before, len(took))}
            t = time.perf_counter()
            query = urllib.parse.urlencode({"path": f"bench-{self.tag}/small"})
            listed = conn.json("GET", f"{ARTIFACTS}?{query}")
            out["list_small_ms"] = round((time.perf_counter() - t) * 1e3, 2)
            out["listed"] = len(listed.get("files", []))
        return out

    # the real client
    def client(self) -> dict[str, Any]:
        try:
            import mlflow
        except ImportError:
            return {"skipped": "mlflow cannot be imported"}
        mlflow.set_tracking_uri(self.uri)
        os.environ.setdefault("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
        exp = mlflow.set_experiment(f"bench-client-{self.tag}")
        params = {f"p{i}": i for i in range(10)}
        metrics = {f"m{i}": i / 7 for i in range(10)}

        def one_run() -> None:
            with mlflow.start_run():
                mlflow.log_params(params)
                mlflow.log_metrics(metrics)
                mlflow.set_tags({"a": "1", "b": "2", "c": "3"})

        one_run()
        runs = timed(one_run, 60, self.args.seconds)
        out: dict[str, Any] = {
            "mlflow": mlflow.__version__,
            "run_with_10_params_10_metrics_3_tags": {
                "runs_per_s": round(1 / statistics.median(runs), 2),
                **latencies(runs),
            },
        }
        with mlflow.start_run():
            step = iter(range(10**9))
            calls = timed(lambda: mlflow.log_metric("x", 0.5, step=next(step)), 500, self.args.seconds)
            out["log_metric_sync"] = {
                "calls_per_s": round(1 / statistics.median(calls), 1),
                **latencies(calls),
            }
            count = self.args.requests
            t = time.perf_counter()
            for i in range(count):
                mlflow.log_metric("y", 0.5, step=i, synchronous=False)
            mlflow.flush_async_logging()
            out["log_metric_async"] = {"calls_per_s": round(count / (time.perf_counter() - t), 1)}
        search = timed(
            lambda: mlflow.search_runs([exp.experiment_id], max_results=1000, output_format="list"),
            10,
            self.args.seconds,
        )
        out["search_runs_list"] = latencies(search)
        client = mlflow.MlflowClient()
        run_id = client.search_runs([exp.experiment_id], max_results=1)[0].info.run_id
        with tempfile.TemporaryDirectory() as tmp:
            big = Path(tmp, "model.bin")
            big.write_bytes(os.urandom(64 << 20))
            t = time.perf_counter()
            client.log_artifact(run_id, str(big))
            out["log_artifact_64mb_mb_per_s"] = round(64 / (time.perf_counter() - t), 1)
            t = time.perf_counter()
            client.download_artifacts(run_id, "model.bin", tmp)
            out["download_artifact_64mb_mb_per_s"] = round(64 / (time.perf_counter() - t), 1)
        return out


def _log_metric_loop(conn: Connection, index: int, runs: list[str], seconds: float) -> list[float]:
    out: list[float] = []
    run, step, end = runs[index % len(runs)], 0, time.perf_counter() + seconds
    while (t := time.perf_counter()) < end:
        conn.post(
            "runs/log-metric",
            {"run_id": run, "key": "loss", "value": 0.5, "timestamp": now_ms(), "step": step},
        )
        out.append(time.perf_counter() - t)
        step += 1
    return out


def _populate_loop(conn: Connection, index: int, exp: str, total: int, connections: int) -> list[float]:
    rng = random.Random(index)
    out: list[float] = []
    for i in range(index, total, connections):
        t0 = time.perf_counter()
        start = 1_700_000_000_000 + i * 1000
        tags = [
            {"key": "team", "value": rng.choice(["vision", "nlp", "ads"])},
            {"key": "stage", "value": rng.choice(["dev", "prod"])},
            {"key": "commit", "value": f"{rng.getrandbits(64):016x}"},
        ]
        run = conn.post(
            "runs/create",
            {
                "experiment_id": exp,
                "start_time": start,
                "run_name": f"run-{i}",
                "user_id": "bench",
                "tags": tags,
            },
        )["run"]["info"]["run_id"]
        params = [{"key": "model", "value": rng.choice("abcde")}]
        params += [{"key": f"param_{k}", "value": f"{rng.random():.6f}"} for k in range(9)]
        metrics = [
            {"key": key, "value": rng.random(), "timestamp": start + 500, "step": 0}
            for key in ["f1", *(f"metric_{k}" for k in range(9))]
        ]
        conn.post("runs/log-batch", {"run_id": run, "params": params, "metrics": metrics})
        conn.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": start + 900})
        out.append(time.perf_counter() - t0)
    return out


# -- (h) launching the server -------------------------------------------------------


def tree(pid: int) -> list[int]:
    """pid and its descendants, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += children.get(p, [])
    return out


def cpu_seconds(pid: int, alone: bool = False) -> float:
    """User and system time of a process tree, children already reaped included; alone: of the process itself."""
    ticks = 0
    for p in [pid] if alone else tree(pid):
        try:
            fields = Path("/proc", str(p), "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(int(f) for f in fields[11 : 13 if alone else 15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int, alone: bool = False) -> dict[str, float]:
    """Resident and proportional memory of a process tree, in MB; alone: of the process itself."""
    rss = pss = 0
    pids = [pid] if alone else tree(pid)
    for p in pids:
        try:
            for line in Path("/proc", str(p), "smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
        except OSError:
            continue
    return {"processes": len(pids), "rss_mb": round(rss / 1024, 1), "pss_mb": round(pss / 1024, 1)}


class Server:
    """A server started for the benchmark, in a session of its own."""

    def __init__(self, command: str, uri: str, log: str | None, timeout: float = 180):
        self.uri = uri
        self.log = open(log or os.devnull, "wb")
        start = time.perf_counter()
        self.process = subprocess.Popen(
            shlex.split(command), stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server exited with {self.process.returncode}")
            try:
                with Connection(uri, 5) as conn:
                    if conn.request("GET", "/health")[0] == 200:
                        break
            except OSError:
                pass
            if time.perf_counter() - start > timeout:
                self.stop()
                raise RuntimeError("the server did not answer /health in time")
            time.sleep(0.02)
        self.seconds = time.perf_counter() - start

    def settle(self, limit: float) -> float:
        """Wait until the process tree is nearly idle: some servers go on starting helpers
        long after they answer /health.  Return the seconds since launch."""
        start, last = time.perf_counter(), cpu_seconds(self.process.pid)
        while time.perf_counter() - start < limit:
            time.sleep(2)
            now = cpu_seconds(self.process.pid)
            if now - last < 0.2:
                break
            last = now
        return self.seconds + time.perf_counter() - start

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uri", required=True, help="base URI of the server, http://host:port")
    parser.add_argument(
        "--scenario",
        default="all",
        help=f"comma-separated list of {', '.join(SCENARIOS)}; or all (default)",
    )
    parser.add_argument("--json", help="write the results to this file")
    parser.add_argument("--label", default="", help="name of the server under test, for the record")
    parser.add_argument("--launch", help="command that starts the server in the foreground")
    parser.add_argument("--launch-log", help="file for the output of the launched server")
    parser.add_argument("--pid", type=int, help="server process, to account its CPU if not launched here")
    parser.add_argument("--alone", action="store_true", help="count the launched process without its children")
    parser.add_argument("--least", type=float, default=0, help="sample for this many seconds at least")
    parser.add_argument("--launches", type=int, default=1, help="start it this often, take the median")
    parser.add_argument("--settle", type=float, default=60, help="longest wait for idleness, seconds")
    parser.add_argument("--runs", type=int, default=5000, help="runs to populate (default 5000)")
    parser.add_argument("--connections", type=int, default=4, help="connections to populate with")
    parser.add_argument("--points", type=int, default=100_000, help="length of the long metric")
    parser.add_argument("--requests", type=int, default=500, help="requests per latency sample")
    parser.add_argument("--seconds", type=float, default=10, help="time limit per measurement")
    parser.add_argument("--artifact-mb", type=int, default=256)
    parser.add_argument("--small-files", type=int, default=500)
    args = parser.parse_args()
    args.uri = args.uri.rstrip("/")
    wanted = list(SCENARIOS) if args.scenario == "all" else args.scenario.split(",")
    for name in wanted:
        if name not in SCENARIOS:
            parser.error(f"unknown scenario {name!r}")

    report: dict[str, Any] = {
        "label": args.label,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
        "settings": {
            k: getattr(args, k)
            for k in ("runs", "connections", "points", "requests", "seconds", "artifact_mb", "small_files")
        },
        "results": {},
    }
    server = None
    try:
        if args.launch:
            times = []
            for i in range(args.launches):
                if server is not None:
                    server.stop()
                server = Server(args.launch, args.uri, args.launch_log)
                times.append(server.seconds)
            settled = server.settle(args.settle)
            before = cpu_seconds(server.process.pid)
            time.sleep(5)
            used = cpu_seconds(server.process.pid) - before
            report["results"]["startup"] = {
                "seconds_to_health": round(statistics.median(times), 3),
                "all": [round(t, 3) for t in times],
                "seconds_to_settle": round(settled, 1),
                "cpu_seconds_to_settle": round(before, 2),
                "idle_cpu_percent": round(used / 5 * 100, 1),
                "idle": memory(server.process.pid),
            }
            show("startup", report["results"]["startup"])
        with Connection(args.uri) as conn:
            for path in ("/version", "/health"):
                try:
                    report[path.strip("/")] = conn.request("GET", path)[1].decode()[:100]
                except (OSError, UnicodeDecodeError):
                    pass
        bench = Bench(args, server.process.pid if server else args.pid)
        for name in wanted:
            try:
                before, start = bench.cpu(), time.perf_counter()
                result = getattr(bench, name)()
                result["scenario_wall_s"] = round(time.perf_counter() - start, 2)
                if not math.isnan(before):
                    result["scenario_server_cpu_s"] = round(bench.cpu() - before, 2)
            except Exception as exc:  # one broken scenario must not lose the others
                result = {"error": repr(exc)[:500]}
            report["results"][name] = result
            show(name, result)
        if server is not None:
            report["results"]["memory_after"] = memory(server.process.pid)
            show("memory_after", report["results"]["memory_after"])
    finally:
        if server is not None:
            server.stop()
        report["machine"]["load_after"] = os.getloadavg()
        if args.json:
            Path(args.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0 if not any("error" in r for r in report["results"].values()) else 1


def show(name: str, result: dict[str, Any]) -> None:
    print(f"{name}: {json.dumps(result)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
