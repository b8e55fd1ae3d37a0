"""The call POST /v1/evaluate: on a body for whoever waits, on one of any length, and as a job on data by reference too."""

from functools import partial

from app.api.evaluate import COLUMNS, EvaluateRequest, evaluate
from app.api.examples import EXAMPLES
from app.api.files import FILES
from app.api.reference import SIDES, EvaluateByReference, answer, check_job, part_steps, parts, steps, together, total
from app.api.streaming import STREAMS
from app.api.tables import check_columns
from app.api.tables_document import DOCUMENT
from app.serving.call import Call
from app.serving.pieces import Cut, Kind

CHECK = check_columns(EvaluateRequest, COLUMNS)
EVALUATE = Call(
    method="POST",
    path="/v1/evaluate",
    function=evaluate,
    summary="Evaluate a loss",
    tag="evaluate",
    scope="evaluate",
    lane="large",
    job=Kind(
        "evaluate",
        "partitions",
        total,
        steps,
        partial(check_job, EvaluateByReference, SIDES, CHECK),
        cut=Cut(parts, part_steps, together, answer),
    ),
    wires=FILES,
    streams=STREAMS,
    check=CHECK,
    statuses=(400, 413, 415, 422, 503),
    examples=EXAMPLES,
    document=DOCUMENT,
)
