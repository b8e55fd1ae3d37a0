"""What the store says of jobs, without anybody who does them."""

from pathlib import Path

from app.jobs.database import open_database
from app.jobs.store import New, Store


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
