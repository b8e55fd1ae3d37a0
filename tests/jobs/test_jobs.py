"""Jobs over a real server: what they come to, what they tell, and how they are asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.api.calls import CALLS
from app.api.jobs import OF_KIND
from tests.conftest import Server, client_with, serving
from tests.jobs.asking import ENDLESS, LONG, ONE_LONG_EPOCH, Jobs, scrape, timeless, worker_of
from tests.processes import children, has_ended, poll, processor_time
from tests.serving.keyed import Made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("jobs"), job_slots=1, job_checkpoint_seconds=0.2, job_queue=20) as server:
        yield server


@pytest.fixture(scope="module")
def jobs(served: Server) -> Iterator[Jobs]:
    with served.client() as client:
        yield Jobs(client)


def test_every_call_that_can_be_a_job_is_a_kind() -> None:
    assert {call.job.name: call for call in CALLS if call.job} == OF_KIND


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_job_comes_to_what_its_call_answers(jobs: Jobs, kind: str) -> None:
    call = OF_KIND[kind]
    request = next(iter(call.examples.values()))["value"]
    job = jobs.wait(jobs.submit(request, kind))
    assert job["status"] == "succeeded", job
    assert timeless(job["result"]) == timeless(jobs.client.post(call.path, json=request).json())
    assert job["attempts"] == 1
    assert job["created"] <= job["started"] <= job["ended"] < job["expires"]
    assert job["progress"]["done"] >= 1


def test_events_are_told_once_and_in_order_from_any_one_on(jobs: Jobs) -> None:
    identity = jobs.submit({**LONG, "epochs": 30})
    events = [*jobs.events(identity)]
    assert [number for number, _, _ in events] == [*range(1, len(events) + 1)]
    assert [data["epoch"] for _, name, data in events if name == "epoch"] == [*range(1, 31)]
    names = [name for _, name, _ in events]
    assert names == ["status", "status", *["epoch"] * 30, "status", "end"]
    assert [data["status"] for _, name, data in events if name == "status"] == ["queued", "running", "succeeded"]
    assert events[-1][2]["result"] is None
    assert [*jobs.events(identity, after=20)] == events[20:]
    address = f"/v1/jobs/{identity}/events"
    assert jobs.client.get(address, headers={"last-event-id": str(len(events))}).status_code == 204
    assert jobs.client.get(address, headers={"last-event-id": "x"}).status_code == 422


def test_runs_that_are_compared_are_told_one_by_one(jobs: Jobs) -> None:
    identity = jobs.submit({"data": "circles", "epochs": 2, "losses": ["bce", "hinge"]}, "compare")
    found = [(name, data["run"], data.get("epoch")) for _, name, data in jobs.events(identity) if name in ("epoch", "run")]
    assert found == [(name, run, epoch) for run in (0, 1) for name, epoch in (("epoch", 1), ("epoch", 2), ("run", 2))]
    assert jobs.show(identity)["progress"] == {"done": 2, "total": 2, "unit": "runs"}


def test_a_job_that_is_cancelled_lets_go_of_its_process(served: Server, jobs: Jobs) -> None:
    identity = jobs.submit(ONE_LONG_EPOCH)
    jobs.wait(identity, lambda job: job["status"] == "running")
    (template,) = children(worker_of(served))
    (working,) = children(template)
    before = processor_time(working)
    poll(lambda: processor_time(working) > before + 0.3, "it does not begin")
    assert jobs.client.delete(f"/v1/jobs/{identity}").json()["status"] == "cancelled"
    poll(lambda: has_ended(working), "its process goes on")


def test_a_job_that_was_cancelled_goes_on_when_it_is_resumed(jobs: Jobs) -> None:
    identity = jobs.submit(LONG)
    jobs.until_done(identity, 40)
    answer = jobs.client.delete(f"/v1/jobs/{identity}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert jobs.client.delete(f"/v1/jobs/{identity}").status_code == 200
    done = jobs.show(identity)["progress"]["done"]
    resumed = jobs.client.post(f"/v1/jobs/{identity}/resume")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "queued")
    assert resumed.json()["progress"]["done"] >= done
    job = jobs.wait(identity)
    assert job["attempts"] == 2
    assert timeless(job["result"]) == timeless(jobs.client.post("/v1/train", json=LONG).json())
    epochs = [data["epoch"] for _, name, data in jobs.events(identity) if name == "epoch"]
    assert epochs == [*range(1, LONG["epochs"] + 1)]
    assert jobs.client.post(f"/v1/jobs/{identity}/resume").json()["code"] == "job_not_resumable"
    assert jobs.client.delete(f"/v1/jobs/{identity}").json()["code"] == "job_ended"


def test_the_next_job_is_that_of_the_highest_priority_and_of_these_the_oldest(jobs: Jobs) -> None:
    short = {"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}
    first = jobs.submit(ENDLESS, priority=100)
    jobs.until_done(first, 1)
    waiting = [jobs.submit(short, "evaluate", priority=priority) for priority in (0, 10, 0, -5)]
    assert [jobs.show(identity)["position"] for identity in waiting] == [2, 1, 3, 4]
    # the worker hears of a job a moment after whoever sends it: an epoch of another is time enough
    jobs.until_done(first, jobs.show(first)["progress"]["done"] + 1)
    jobs.client.delete(f"/v1/jobs/{first}")
    ended = [jobs.wait(identity) for identity in waiting]
    order = sorted(range(4), key=lambda place: ended[place]["started"])
    assert order == [1, 0, 2, 3]
    assert all(job["result"]["value"] == 0.5 for job in ended)


def test_no_more_jobs_are_taken_than_may_be_queued(jobs: Jobs) -> None:
    first = jobs.submit(ENDLESS, priority=100)
    jobs.until_done(first, 1)
    waiting = [jobs.submit(ENDLESS) for _ in range(20)]
    refused = jobs.client.post("/v1/jobs", json={"kind": "train", "request": ENDLESS})
    assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    for identity in [*waiting, first]:
        assert jobs.client.delete(f"/v1/jobs/{identity}").json()["status"] == "cancelled"
    listed = jobs.client.get("/v1/jobs", params={"status": "cancelled", "limit": 200}).json()["jobs"]
    assert {*waiting, first} <= {job["id"] for job in listed}


def test_a_list_is_read_page_by_page_while_jobs_come(jobs: Jobs) -> None:
    request = {"loss": "mse", "predictions": [1], "targets": [2]}
    mine = [jobs.submit(request, "evaluate") for _ in range(3)]
    pages: list[str] = []
    cursor: str | None = None
    while True:
        page = jobs.client.get("/v1/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        pages += [job["id"] for job in page["jobs"]]
        assert all(job["result"] is None for job in page["jobs"])
        jobs.submit(request, "evaluate")
        cursor = page["next"]
        if cursor is None:
            break
    assert len(pages) == len({*pages})
    assert pages == sorted(pages, reverse=True)
    assert pages[:3] == mine[::-1]
    assert jobs.client.get("/v1/jobs", params={"cursor": "?"}).status_code == 422


def test_a_request_that_is_sent_again_is_no_second_job(jobs: Jobs) -> None:
    request = {"loss": "mse", "predictions": [1], "targets": [2]}
    head = {"idempotency-key": "nightly 1"}
    first = jobs.wait(jobs.submit(request, "evaluate", head))
    again = jobs.client.post("/v1/jobs", json={"kind": "evaluate", "request": request}, headers=head)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first
    other = jobs.client.post("/v1/jobs", json={"kind": "analyze", "request": request}, headers=head)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert jobs.client.post("/v1/jobs", json={}, headers={"idempotency-key": ""}).status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "train", "request": {"loss": "bcee"}}, "/request/loss"),
        ({"kind": "train", "request": {"epochs": 0}}, "/request/epochs"),
        ({"kind": "evaluate", "request": {"loss": "mse", "predictions": [1], "targets": [1, 2]}}, "/request/targets"),
        ({"kind": "trian", "request": {}}, "/kind"),
        ({"kind": "train"}, "/request"),
        ({"kind": "train", "request": [], "priority": 0}, "/request"),
        ({"kind": "train", "request": {}, "priority": 101}, "/priority"),
        ({"kind": "train", "request": {}, "prio": 1}, "/prio"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(jobs: Jobs, body: dict[str, Any], pointer: str) -> None:
    answer = jobs.client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def test_jobs_are_counted(served: Server, jobs: Jobs) -> None:
    before = scrape(served)
    first = jobs.submit(ENDLESS, priority=100)
    jobs.until_done(first, 1)
    second = jobs.submit(ENDLESS)
    during = scrape(served)
    for identity in (first, second):
        jobs.client.delete(f"/v1/jobs/{identity}")
    after = scrape(served)

    def counts(samples: dict[Any, float]) -> list[float]:
        named = [
            ("criterion_jobs", {"kind": "train", "status": "running"}),
            ("criterion_jobs", {"kind": "train", "status": "queued"}),
            ("criterion_queue_length", {"queue": "jobs"}),
            ("criterion_jobs_ended_total", {"kind": "train", "status": "cancelled"}),
        ]
        return [samples.get((name, frozenset(labels.items())), 0.0) for name, labels in named]

    ended = counts(before)[-1]
    assert counts(during) == [1.0, 1.0, 1.0, ended]
    assert counts(after) == [0.0, 0.0, 0.0, ended + 2.0]


@pytest.mark.anyio
async def test_whose_job_it_is_and_what_his_key_allows(tmp_path: Path) -> None:
    made = Made()
    for name, scopes in (("all", ("jobs", "evaluate")), ("other", ("jobs", "evaluate", "train")), ("train", ("train",))):
        made.add(name, *scopes)
    body = {"kind": "evaluate", "request": {"loss": "mse", "predictions": [1], "targets": [2]}}
    async with client_with(keys=SecretStr(made.text), data_dir=tmp_path) as client:
        job = (await client.post("/v1/jobs", json=body, headers=made.head("all"))).json()
        address = f"/v1/jobs/{job['id']}"
        assert (await client.get(address, headers=made.head("all"))).status_code == 200
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resume"), ("GET", "/events")):
            assert (await client.request(method, f"{address}{path}", headers=made.head("other"))).status_code == 404
        assert (await client.get("/v1/jobs", headers=made.head("other"))).json() == {"jobs": [], "next": None}
        assert (await client.get("/v1/jobs", headers=made.head("train"))).json()["code"] == "forbidden"
        refused = await client.post("/v1/jobs", json={"kind": "train", "request": {}}, headers=made.head("all"))
        assert (refused.status_code, refused.headers["www-authenticate"][-13:]) == (403, 'scope="train"')
        assert (await client.get("/v1/jobs")).status_code == 401


@pytest.mark.anyio
async def test_a_server_may_have_no_jobs(tmp_path: Path) -> None:
    async with client_with(engine_url="none", data_dir=tmp_path / "data") as client:
        answer = await client.get("/v1/jobs")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await client.get("/metrics")).status_code == 200
    assert not (tmp_path / "data").exists()


def test_no_such_job(jobs: Jobs) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resume"), ("GET", "/events")):
        assert jobs.client.request(method, f"/v1/jobs/01K0000000000000000000000Z{path}").status_code == 404
