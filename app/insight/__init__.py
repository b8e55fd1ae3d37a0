"""From a number to an answer: how sure the value of a loss is, where it comes from, and which of several models is better.

>>> batch = check(LOSSES["mean_squared_error"], {}, predictions, targets)
>>> analyze(batch).interval.t
"""

from app.insight.analysis import Analysis, analyze
from app.insight.comparison import ByLoss, compare
from app.insight.intervals import Asked
from app.insight.labels import Labels

__all__ = ["Analysis", "Asked", "ByLoss", "Labels", "analyze", "compare"]
