"""What the store says of jobs, without anybody who does them."""

from pathlib import Path

from app.jobs.database import open_database
from app.jobs.store import New, Runs, Store


def test_a_run_that_is_about_to_begin_is_not_over(tmp_path: Path) -> None:
    store = Store(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"), limit=10, retention=60.0)
    identity = store.submit(New("evaluate", 0, 1, "partitions", b"{}"), "")[0].job.id
    assert store.over([(identity, 1, 0)]) == []
    assert store.begin(identity, 1, 0)
    assert store.over([(identity, 1, 0)]) == []
    store.cancel(identity, "")
    assert store.over([(identity, 1, 0)]) == [(identity, 1, 0)]
    store.resume(identity, "")
    assert store.over([(identity, 1, 0), (identity, 2, 0)]) == [(identity, 1, 0)]
    store.database.close()


def test_what_has_ended_is_given_to_one_who_tells_of_it_elsewhere(tmp_path: Path) -> None:
    """To another only once its time is over; as it is then, where it has been resumed meanwhile."""
    store = Store(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"), limit=10, retention=60.0, exports=True)
    ends_of_an_export(store)
    store.database.close()
    quiet = Store(open_database(f"sqlite:///{tmp_path / 'quiet.sqlite'}"), limit=10, retention=60.0)
    quiet.cancel(quiet.submit(NEW, "")[0].job.id, "")
    assert quiet.export(FAR, FAR) is None
    quiet.database.close()


NEW = New("train", 0, 1, "epochs", b"{}")
FAR = 1e12


def ends_of_an_export(store: Store) -> None:
    identity = store.submit(NEW, "")[0].job.id
    assert store.begin(identity, 1, 0)
    assert store.export(FAR, FAR + 1) is None
    assert store.unfinished()
    store.finish(identity, 1, problem=b'{"code": "limit"}')
    found = store.export(FAR, FAR + 10)
    assert found
    assert (found.job.status, found.runs, found.problem, found.tries) == ("failed", b"[]", b'{"code": "limit"}', 1)
    assert store.export(FAR + 9, FAR + 20) is None, "it is another's"
    store.export_again(identity, FAR + 5)
    again = store.export(FAR + 6, FAR + 20)
    assert again
    assert again.tries == 2
    store.resume(identity, "")
    assert store.begin(identity, 2, 0)
    store.finish(identity, 2, result=b"{}", runs=Runs(1, b"[1]", b"[2]"))
    store.exported(identity, again.tries)  # by who had it before it was resumed
    assert store.unfinished()
    found = store.export(FAR, FAR + 10)
    assert found
    assert (found.job.status, found.runs, found.problem, found.tries) == ("succeeded", b"[2]", None, 1)
    store.exported(identity, 1)
    assert store.export(FAR + 20, FAR + 30) is None
    assert not store.unfinished()
