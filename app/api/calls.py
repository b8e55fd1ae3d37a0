"""Every call there is: the only place where one is registered."""

from app.api import catalogue, datasets, docs, health, inference_protocol, jobs, losses, pages, playground, runs
from app.api.analyzing import ANALYZE
from app.api.checking import CHECK_GRADIENT
from app.api.compare import COMPARE
from app.api.comparison import COMPARE_MODELS
from app.api.curve import CURVE
from app.api.dataset_rows import ROWS
from app.api.evaluating import EVALUATE
from app.api.learning_curve import LEARNING_CURVE
from app.api.learning_rate import FIND_RATE
from app.api.metrics import METRICS
from app.api.predict import PREDICT
from app.api.recommend import RECOMMEND
from app.api.search import SEARCH
from app.api.training import TRAIN

CALLS = (
    EVALUATE,
    ANALYZE,
    COMPARE_MODELS,
    CHECK_GRADIENT,
    RECOMMEND,
    *losses.CALLS,
    CURVE,
    TRAIN,
    COMPARE,
    SEARCH,
    FIND_RATE,
    LEARNING_CURVE,
    PREDICT,
    *jobs.CALLS,
    *runs.CALLS,
    *datasets.CALLS,
    *catalogue.CALLS,
    ROWS,
    *inference_protocol.CALLS,
    *health.CALLS,
    METRICS,
    *docs.CALLS,
    *playground.CALLS,
    *pages.CALLS,
)
