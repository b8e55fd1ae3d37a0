"""/v1/runs: what was trained by jobs that have ended."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from pydantic import SecretStr

from app.api.calls import CALLS
from app.api.history import MOST_LISTED
from app.api.jobs import OF_KIND
from app.api.runs import KINDS
from app.client import AsyncCriterion, Criterion
from app.jobs.database import open_database
from app.jobs.store import New, Runs, Store
from tests.api.problem import problem_of
from tests.conftest import Server, client_with, serving
from tests.jobs.asking import ENDLESS, Jobs, timeless
from tests.jobs.test_pieces import REQUESTS
from tests.serving.keyed import Made

pytestmark = pytest.mark.anyio

ABOUT = ("model", "n_parameters", "loss", "optimizer", "schedule", "seed", "best_epoch", "stopped", "final")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("jobs"), job_slots=1, job_checkpoint_seconds=0.2) as server:
        yield server


@pytest.fixture(scope="module")
def jobs(served: Server) -> Iterator[Jobs]:
    with served.client() as client:
        yield Jobs(client)


def show(jobs: Jobs, path: str) -> Any:
    answer = jobs.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_kind_that_trains_has_a_history() -> None:
    assert {kind for kind, call in OF_KIND.items() if call.job and call.job.history} == {*KINDS}
    assert {kind for kind, call in OF_KIND.items() if call.needs == "train"} == {*KINDS}


def test_a_run_has_its_set_up_its_curves_and_its_scores(jobs: Jobs) -> None:
    request = {**REQUESTS["train"], "metrics": ["mae"], "outputs": ["parameters", "predictions"]}
    job = jobs.wait(jobs.submit(request))
    whole, result = show(jobs, f"/v1/runs/{job['id']}"), job["result"]
    parts = show(jobs, "/openapi.json")["components"]
    OAS31Validator({"$ref": "#/components/schemas/RunsAnswer", "components": parts}).validate(whole)
    for name in ("id", "kind", "status", "created", "started", "ended", "expires"):
        assert whole[name] == job[name]
    (run,) = whole["runs"]
    assert {name: run[name] for name in (*ABOUT, "data")} == {name: result[name] for name in (*ABOUT, "data")}
    curves, history = run["curves"], result["history"]
    assert curves["epoch"] == [1, 2, 3, 4, 5]
    for name in ("training_loss", "validation_loss", "learning_rate"):
        assert curves[name] == [epoch[name] for epoch in history]
    scores = curves["metrics"]["mean_absolute_error"]
    assert scores["validation"] == [epoch["metrics"]["mean_absolute_error"]["validation"] for epoch in history]
    assert not run.keys() & {"parameters", "predictions", "history"}
    listed = show(jobs, "/v1/runs?limit=1")["runs"][0]
    assert listed == {**whole, "runs": [{name: run[name] for name in run if name not in ("data", "curves")}]}


def test_runs_that_are_compared_and_trials_are_told_by_each(jobs: Jobs) -> None:
    compared = {**REQUESTS["compare"], "seeds": [*range(MOST_LISTED + 2)], "epochs": 1}
    job = jobs.wait(jobs.submit(compared, "compare"))
    whole = show(jobs, f"/v1/runs/{job['id']}")
    assert (whole["n_runs"], len(whole["runs"])) == (MOST_LISTED + 2, MOST_LISTED + 2)
    assert [run["final"] for run in whole["runs"]] == [run["final"] for run in job["result"]["runs"]]
    assert [run["name"] for run in whole["runs"]] == [line["name"] for line in job["result"]["table"]]
    listed = show(jobs, "/v1/runs?kind=compare&limit=1")["runs"][0]
    assert (listed["n_runs"], len(listed["runs"])) == (MOST_LISTED + 2, MOST_LISTED)
    job = jobs.wait(jobs.submit(REQUESTS["search"], "search"))
    whole = show(jobs, f"/v1/runs/{job['id']}")
    trials = job["result"]["trials"]
    assert [{name: run[name] for name in ("parameters", "epochs", "score")} for run in whole["runs"]] == trials
    assert whole["runs"][0]["loss"] == job["result"]["best"]["loss"]


def test_lists_are_by_kind_and_status_a_page_at_a_time(jobs: Jobs) -> None:
    tiny = {**REQUESTS["train"], "epochs": 1}
    ids = [jobs.wait(jobs.submit(tiny))["id"] for _ in range(3)]
    cancelled = jobs.submit(ENDLESS)
    jobs.until_done(cancelled, 1)
    assert cancelled not in [run["id"] for run in show(jobs, "/v1/runs")["runs"]]
    assert problem_of(jobs.client.get(f"/v1/runs/{cancelled}"))["status"] == 404
    jobs.client.delete(f"/v1/jobs/{cancelled}")
    evaluated = jobs.wait(jobs.submit(REQUESTS["evaluate"], "evaluate"))["id"]
    first = show(jobs, "/v1/runs?limit=2&kind=train")
    assert [run["id"] for run in first["runs"]] == [cancelled, ids[2]]
    rest = show(jobs, f"/v1/runs?limit=2&kind=train&cursor={first['next']}")
    assert [run["id"] for run in rest["runs"]] == [ids[1], ids[0]]
    (found,) = show(jobs, "/v1/runs?status=cancelled")["runs"]
    assert (found["id"], found["n_runs"], found["runs"]) == (cancelled, 0, [])
    assert evaluated not in [run["id"] for run in show(jobs, "/v1/runs")["runs"]]
    assert "evaluate" in problem_of(jobs.client.get(f"/v1/runs/{evaluated}"))["detail"]


@pytest.mark.parametrize("query", ["status=running", "kind=evaluate", "limit=0", "cursor=x", "kid=train"])
def test_what_is_wrong_with_a_list_is_said(jobs: Jobs, query: str) -> None:
    problem = problem_of(jobs.client.get(f"/v1/runs?{query}"))
    assert (problem["status"], problem["errors"][0]["pointer"]) == (422, f"/{query.partition('=')[0]}")


def test_what_has_failed_says_why(jobs: Jobs, served: Server) -> None:
    large = {"data": {"inputs": [[1], [2]], "targets": [1, 2]}, "loss": "mse", "validation": None, "epochs": 10**9}
    job = jobs.wait(jobs.submit(large))
    assert job["status"] == "failed"
    whole = show(jobs, f"/v1/runs/{job['id']}")
    assert (whole["runs"], whole["problem"]) == ([], job["problem"])
    assert show(jobs, "/v1/runs?status=failed")["runs"][0]["problem"] is None


async def test_runs_by_the_client(jobs: Jobs, served: Server) -> None:
    identity = jobs.wait(jobs.submit({**REQUESTS["train"], "epochs": 2}))["id"]
    with Criterion(served.url) as c:
        assert c.runs(limit=1, kind="train").runs[0].id == identity
        assert c.run(identity).runs[0].curves.epoch == [1, 2]
    async with AsyncCriterion(served.url) as a:
        assert (await a.runs(limit=1)).runs[0].id == (await a.run(identity)).id == identity


async def test_each_key_has_runs_of_its_own(tmp_path: Path, anyio_backend: str) -> None:
    """And they are forgotten with their jobs."""
    store = Store(open_database(f"sqlite:///{tmp_path}/engine.sqlite"), limit=10, retention=60.0)
    whole, _ = store.submit(New("train", 0, 1, "epochs", b"{}"), "one")
    store.begin(whole.job.id, 1, 0)
    ended = store.finish(whole.job.id, 1, result=b"{}", runs=Runs(1, b'[{"seed": 1}]', b'[{"seed": 2}]'))
    assert ended
    made = Made()
    for name in ("one", "two"):
        made.add(name, "jobs")
    async with client_with(data_dir=tmp_path, keys=SecretStr(made.text)) as client:

        async def asked(path: str, name: str) -> httpx.Response:
            return await client.get(path, headers=made.head(name))

        assert (await asked("/v1/runs", "one")).json()["runs"][0]["runs"] == [{"seed": 1}]
        assert (await asked(f"/v1/runs/{whole.job.id}", "one")).json()["runs"] == [{"seed": 2}]
        assert (await asked("/v1/runs", "two")).json() == {"runs": [], "next": None}
        assert (await asked(f"/v1/runs/{whole.job.id}", "two")).status_code == 404
        assert ended.expires
        store.forget(ended.expires + 1)
        assert (await asked("/v1/runs", "one")).json()["runs"] == []
    with store.database.transaction() as execute:
        assert execute("SELECT count(*) FROM criterion_runs")[0][0] == 0
    store.database.close()


async def test_a_server_without_jobs_has_no_runs() -> None:
    async with client_with(engine_url="none") as client:
        for call in CALLS:
            if call.path.startswith("/v1/runs"):
                assert "has no jobs" in problem_of(await client.get(call.path.replace("{id}", "x")))["detail"]


def test_a_run_is_told_as_it_was_whatever_became_of_its_job_meanwhile(jobs: Jobs) -> None:
    """The same bits, however often it was begun: what is told is made of the answer."""
    ids = [jobs.wait(jobs.submit(REQUESTS["train"]))["id"] for _ in range(2)]
    one, other = (timeless(show(jobs, f"/v1/runs/{identity}")["runs"]) for identity in ids)
    assert one == other
