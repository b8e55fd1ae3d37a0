"""Short training runs in plain NumPy: any loss that fits, on models, optimizers, schedules and datasets by name.

>>> run = prepare(Plan(data=Table(inputs, targets), model=Chosen(MODELS["mlp"], {}), loss=Chosen(LOSSES["huber"], {}), ...))
>>> state = start(run)
>>> for epoch in fit(run, state):
...     print(epoch.training_loss, epoch.validation_loss)
"""

from app.registry import registry
from app.training import datasets, metrics, models, optimizers, schedules
from app.training.datasets import Data, Dataset
from app.training.fit import Epoch, Reason, fit, history, start, stopped
from app.training.learned import Learn
from app.training.metrics import Metric
from app.training.models import Model
from app.training.optimizers import Optimizer
from app.training.result import Result, finish, keep
from app.training.resuming import begin
from app.training.run import Chosen, Limits, Plan, Run, prepare
from app.training.schedules import Schedule
from app.training.splits import Holdout
from app.training.tables import Table
from app.training.trained import Trained

MODELS = registry("model", Model, models)
OPTIMIZERS = registry("optimizer", Optimizer, optimizers)
SCHEDULES = registry("schedule", Schedule, schedules)
DATASETS = registry("dataset", Dataset, datasets)
METRICS = registry("metric", Metric, metrics)

__all__ = [
    "DATASETS",
    "METRICS",
    "MODELS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Chosen",
    "Data",
    "Dataset",
    "Epoch",
    "Holdout",
    "Learn",
    "Limits",
    "Metric",
    "Model",
    "Optimizer",
    "Plan",
    "Reason",
    "Result",
    "Run",
    "Schedule",
    "Table",
    "Trained",
    "begin",
    "finish",
    "fit",
    "history",
    "keep",
    "prepare",
    "start",
    "stopped",
]
