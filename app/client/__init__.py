"""A client of the service: `pip install criterion[client]`, which takes httpx and NumPy and nothing of the server.

    from app.client import Criterion

    c = Criterion("http://127.0.0.1:8000")
    r = c.evaluate("huber", [2.5, 0.0, 8.0], [3.0, -0.5, 2.0], delta=1.5)
    r.value, r.gradient

Each call is a function that makes a request; Criterion sends it and waits, AsyncCriterion is awaited. Arrays of NumPy, and
whatever becomes one (columns of pandas, polars, pyarrow, tensors), go as bytes by the inference protocol, lists as JSON.
"""

from app.client.answers import Answer, Fault, Picture, Problem
from app.client.jobs import AsyncJob, Job
from app.client.losses import objective, torch_loss
from app.client.sending import AsyncCriterion, Criterion

__all__ = ["Answer", "AsyncCriterion", "AsyncJob", "Criterion", "Fault", "Job", "Picture", "Problem", "objective", "torch_loss"]
