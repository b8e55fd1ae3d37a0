"""Charts of what the service answers: one function a chart, from the answer as a client reads it to a definition in Vega-Lite."""

from app.insight.charts.analysis import analyze
from app.insight.charts.comparison import compare
from app.insight.charts.curve import curve
from app.insight.charts.training import compare as train_compare
from app.insight.charts.training import train

__all__ = ["analyze", "compare", "curve", "train", "train_compare"]
