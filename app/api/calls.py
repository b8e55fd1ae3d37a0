"""Every call there is: the only place where one is registered."""

from app.api import catalogue, docs, health, inference_protocol, losses
from app.api.compare import COMPARE
from app.api.curve import CURVE
from app.api.evaluate import EVALUATE
from app.api.training import TRAIN

CALLS = (
    EVALUATE,
    *losses.CALLS,
    CURVE,
    TRAIN,
    COMPARE,
    *catalogue.CALLS,
    *inference_protocol.CALLS,
    *health.CALLS,
    *docs.CALLS,
)
