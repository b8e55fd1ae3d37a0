"""Several servers behind the proxy of deploy/proxy: one is told to end and another is killed, and clients hardly notice.

Needs haproxy, which `make abuse` installs by apt where it is missing.
"""

import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import httpx

from tests.abuse import bodies
from tests.conftest import ROOT, Server, _free_port, serving
from tests.processes import poll

CLIENTS = 8
SECONDS = 2.0
"""Of requests before, between and after each loss of a server."""
BODY = bodies.dumps({"loss": "mse", "predictions": [2.5, 0.0, 8.0], "targets": [3.0, -0.5, 2.0]})
VALUE = 12.166666666666666


def configured(servers: list[Server], port: int) -> str:
    """The proxy's own file, with these servers in place of the containers that Docker's name server would find."""
    text = (ROOT / "deploy/proxy/haproxy.cfg").read_text()
    text = re.sub(r"resolvers docker\n(?:    .*\n)+", "", text)
    named = "\n".join(f"    server criterion-{i} 127.0.0.1:{server.port} check" for i, server in enumerate(servers))
    text, replaced = re.subn(r"    server-template .*", named, text)
    assert replaced == 1
    return text.replace(":8080", f"127.0.0.1:{port}")


@contextmanager
def proxied(folder: Path, servers: list[Server]) -> Iterator[str]:
    port = _free_port()
    (folder / "haproxy.cfg").write_text(configured(servers, port))
    with subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stdout=subprocess.DEVNULL) as proxy:
        try:
            url = f"http://127.0.0.1:{port}"
            poll(lambda: _ready(url), "the proxy has no server")
            yield url
        finally:
            proxy.kill()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_servers_come_and_go_behind_the_proxy(tmp_path: Path) -> None:
    statuses: Counter[Any] = Counter()
    wrong: list[float] = []
    ended = threading.Event()

    def client(url: str) -> None:
        with httpx.Client(base_url=url, headers={"content-type": "application/json"}) as http:
            while not ended.is_set():
                try:
                    answer = http.post("/v1/evaluate", content=BODY)
                except (httpx.TransportError, HTTPException) as error:
                    statuses[type(error).__name__] += 1
                    continue
                statuses[answer.status_code] += 1
                if answer.status_code == 200 and answer.json()["value"] != VALUE:
                    wrong.append(answer.json()["value"])

    with ExitStack() as stack:
        servers = [stack.enter_context(serving(tmp_path)) for _ in range(3)]
        url = stack.enter_context(proxied(tmp_path, servers))
        threads = [threading.Thread(target=client, args=(url,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        answered = [_answered(server) for server in servers]
        servers[0].process.send_signal(signal.SIGTERM)
        time.sleep(SECONDS)
        servers[1].process.kill()
        time.sleep(SECONDS)
        ended.set()
        for thread in threads:
            thread.join()
        servers[1].process.wait()
    print(f"\nbehind the proxy: {dict(statuses)}; before a loss each server had answered {answered}")
    assert not wrong
    assert min(answered) > sum(answered) / 3 / 2  # each has its share
    others = {kind: count for kind, count in statuses.items() if kind != 200}
    assert sum(others.values()) <= 2 * CLIENTS, others  # at most what each client had under way, twice
    assert set(others) <= {502, 503, 504, "RemoteProtocolError"}  # the last: closed without an answer


def _answered(server: Server) -> float:
    (line,) = re.findall(
        r'^criterion_requests_total\{call="evaluate".*?status="200"\} (\S+)', server.ask("GET", "/metrics").text, re.MULTILINE
    )
    return float(line)
