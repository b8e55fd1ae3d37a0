"""What is handed to platforms is true of the service: the page on operations, compose, Prometheus, Grafana, Kubernetes."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api.calls import CALLS
from app.serving.keys import read_keys
from app.serving.metrics import DURATION, METRICS, REASONS, Described
from app.settings import Settings
from tests.conftest import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/criterion.json").read_text())
SERVERS, WORKERS = (
    [*yaml.safe_load_all((ROOT / "deploy/kubernetes" / name).read_text())] for name in ("criterion.yaml", "workers.yaml")
)

SERIES = {
    **{f"{name}_total" if described.kind == "counter" else name: set(described.labels) for name, described in METRICS.items()},
    f"{DURATION}_bucket": {"call", "le"},
    "criterion_build_info": {"version"},
}
"""Every series that there is, with its labels."""


def expressions() -> Iterator[str]:
    for group in ALERTS["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("expression", [*expressions()])
def test_what_is_watched_exists(expression: str) -> None:
    """Each metric, each label that it is chosen or summed by, and each value of a closed label."""
    found = re.findall(r"\b(criterion_\w+)(?:\{([^}]*)\})?", expression)
    assert found or expression.startswith("up{")
    labels = {"le"}
    for name, chosen in found:
        assert name in SERIES
        labels |= SERIES[name]
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', chosen):
            assert label in SERIES[name]
            known = {"reason": {*REASONS, "killed", "deadline", "memory"}, "call": {call.label for call in CALLS}}.get(label)
            assert known is None or set(values.split("|")) <= known
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= labels
    assert expression.count("(") == expression.count(")")


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert len(rule["annotations"]["summary"]) > 20
            assert len(rule["annotations"]["description"]) > 60


def test_the_page_names_every_metric_and_every_reason() -> None:
    rows: dict[str, str] = dict(re.findall(r"^\| `(criterion_\w+)` \| ([\w, ]+) \|", PAGE, re.M))
    others = {DURATION: Described("histogram", "", ("call",)), "criterion_build_info": Described("gauge", "", ("version",))}
    described = {**METRICS, **others}
    for name, labels in rows.items():
        assert labels == (", ".join(described[name.removesuffix("_total")].labels) or "none")
    assert rows.keys() == {f"{name}_total" if found.kind == "counter" else name for name, found in described.items()}
    (reasons,) = re.findall(r"^Reasons: (.*)\.$", PAGE, re.M)
    assert reasons == ", ".join(f"`{reason}`" for reason in REASONS)


def test_the_example_of_keys_is_one() -> None:
    (example,) = (text for text in re.findall(r"```json\n([^`]+)```", PAGE) if '"keys"' in text)
    identity = read_keys(example).identity_of([(b"x-api-key", b"crit_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEE")])
    assert identity.name == "ci"


def test_the_page_names_settings_that_there_are() -> None:
    named = {
        name.lower()
        for name in re.findall(r"CRITERION_([A-Z_]+)", PAGE + "".join(map(Path.read_text, ROOT.glob("deploy/kubernetes/*"))))
    }
    assert named - {"publish", "cpus", "postgres_password"} <= Settings.model_fields.keys()  # which is for compose itself


def test_compose_starts_what_prometheus_scrapes_and_grafana_shows() -> None:
    service = COMPOSE["criterion"]
    given = {name.removeprefix("CRITERION_").lower() for name in service["environment"]}
    assert given <= Settings.model_fields.keys()
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (found,) = scraped["scrape_configs"][0]["dns_sd_configs"]
    assert (found["names"], found["port"]) == (["criterion"], service["environment"]["CRITERION_METRICS_PORT"])
    assert scraped["rule_files"] == ["/etc/prometheus/alerts.yml"]
    for name in ("prometheus", "grafana"):
        assert COMPOSE[name]["profiles"] == ["observe"]
        assert all(port.startswith("127.0.0.1:") for port in COMPOSE[name]["ports"])
        for volume in COMPOSE[name]["volumes"]:
            assert (ROOT / volume.split(":")[0]).is_dir()
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"] for source in sources}


def test_the_container_may_do_no_more_than_it_must() -> None:
    service = COMPOSE["criterion"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"][0].startswith("${CRITERION_PUBLISH:-127.0.0.1:")
    assert int(service["stop_grace_period"].removesuffix("s")) > Settings.model_fields["shutdown_seconds"].default
    assert "cpus" in service
    assert "mem_limit" in service


def test_kubernetes_asks_what_there_is_to_be_asked() -> None:
    deployment = SERVERS[0]
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    paths = {call.path for call in CALLS}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause + Settings.model_fields["shutdown_seconds"].default
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert SERVERS[1]["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_kubernetes_has_as_many_workers_as_the_queue_is_long_for() -> None:
    _, deployment, scaler = WORKERS
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == COMPOSE["worker"]["command"]
    healthy = COMPOSE["worker"]["healthcheck"]["test"].replace("$$", "$")
    assert container["livenessProbe"]["exec"]["command"][-1] == healthy
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/var/lib/criterion"}
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (measured,) = (metric["external"]["metric"] for metric in scaler["spec"]["metrics"])
    assert measured["selector"]["matchLabels"].keys() == set(METRICS[measured["name"]].labels)
    assert "replicas" not in deployment["spec"]  # which is the scaler's to say


def test_the_client_installs_without_the_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == []
    assert {re.split("[<>=;]", wanted)[0] for wanted in project["optional-dependencies"]["client"]} == {"httpx", "numpy"}


def test_the_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(((?!http)[^)#]+)", PAGE):
        assert (Path(ROOT / "docs") / target).exists(), target


def test_the_profile_scale_is_of_servers_and_workers_on_one_database() -> None:
    scaled = {name: service for name, service in COMPOSE.items() if service.get("profiles") == ["scale"]}
    assert scaled.keys() == {"api", "worker", "postgres", "proxy"}
    for name, replicas in (("api", 2), ("worker", 3)):
        service = scaled[name]
        assert service["deploy"]["replicas"] == replicas
        assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert {
            variable.removeprefix("CRITERION_").lower() for variable in service["environment"]
        } <= Settings.model_fields.keys()
        assert service["environment"]["CRITERION_ENGINE_URL"].endswith("@postgres/criterion")
        assert (service["read_only"], service["cap_drop"], "ports" in service) == (True, ["ALL"], False)
        assert service["volumes"] == COMPOSE["criterion"]["volumes"]
    assert scaled["worker"]["command"] == ["criterion", "worker"]
    assert "ports" not in scaled["postgres"]
    assert "server-template api- 20 api:8000" in (ROOT / "deploy/proxy/haproxy.cfg").read_text()


def criterion(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the program says that is installed as `criterion`."""
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["criterion"]
    module, _, function = script.partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


def test_the_program_is_what_it_is_told_to_be(tmp_path: Path) -> None:
    made = criterion("key", "ci", "evaluate,train", "--file", str(tmp_path / "keys.json"))
    assert json.loads(made.stdout)["entry"] == json.loads((tmp_path / "keys.json").read_text())["keys"][0]
    worker = criterion("worker", CRITERION_ENGINE_URL="none")
    assert (worker.returncode, worker.stderr.count("\n")) == (2, 1)
    assert "CRITERION_ENGINE_URL" in worker.stderr
    served = criterion("serve", CRITERION_PROT="80")
    assert (served.returncode, served.stderr) == (2, "CRITERION_PROT: no such setting; did you mean CRITERION_PORT?\n")
    for wrong in (["wroker"], ["serve", "now"], ["worker", "now"]):
        found = criterion(*wrong)
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.startswith(f"criterion: there is no {' '.join(wrong)!r}\nusage: criterion [serve | worker | key")
    assert criterion("--help").stdout.startswith("usage: criterion")
