"""The stock HTTP client of Java, which offers HTTP/2 to every server it meets."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.conftest import Server

SOURCE = Path(__file__).with_name("Clients.java")


def test_the_stock_java_client_gets_its_answers(server: Server) -> None:
    java = shutil.which("java")
    assert java, "Java 17 or newer is needed, with its compiler: apt-get install openjdk-17-jdk-headless"
    result = subprocess.run([java, str(SOURCE), server.url], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"evaluate": 100, "train": 30, "infer": 30}, result.stderr
