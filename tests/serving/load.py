"""Callers that notice everything: a dropped connection, a wrong status, an answer of another version than stated."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import Self
from urllib.parse import urlsplit

BODY = json.dumps({"instances": [[1, 2], [3, 4]]})
EXPECTED = {"odd": {"predictions": [3, 7]}, "even": {"predictions": [6, 14]}}  # versions: sum, twice


class Load:
    """Callers on kept connections, each sending the next request when the last is answered, and after `pause`.

    Every `anew`-th request of a caller opens a connection of its own, as a new client would.
    """

    def __init__(self, url: str, callers: int = 4, *, pause: float = 0.0, anew: int = 0) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname or "", place.port or 0
        self.pause, self.anew = pause, anew
        self.stop = threading.Event()
        self.answers: Counter[str] = Counter()  # by version
        self.problems: list[str] = []
        self.threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        number = 0
        while not self.stop.is_set():
            number += 1
            if self.anew and number % self.anew == 0:
                connection.close()
            try:
                connection.request("POST", "/invocations", BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except OSError as error:
                self.problems.append(f"{time.strftime('%T')} connection: {error!r}")
                connection.close()
                continue
            version = answer.headers["X-Model-Version"]
            kind = "odd" if int(version or 0) % 2 else "even"
            if answer.status != 200 or json.loads(body) != EXPECTED[kind]:
                self.problems.append(f"{time.strftime('%T')} {answer.status} from v{version}: {body!r}")
            self.answers[version] += 1
            time.sleep(self.pause)
        connection.close()
