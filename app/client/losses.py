"""A loss of the service as other libraries take one: an objective of boosted trees, a loss of PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from app.client.sending import Criterion


def objective(client: Criterion, loss: str, **parameters: Any) -> Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]:
    """A loss as `xgboost.train` and `lightgbm.train` take it: (scores, data) -> the gradient and the second derivative of the
    sum. One that has none is refused with a Problem."""

    def derivatives(scores: Any, data: Any) -> tuple[np.ndarray, np.ndarray]:
        weights, targets = data.get_weight(), np.asarray(data.get_label(), dtype=float)
        answer = client.evaluate(
            loss,
            np.asarray(scores, dtype=float),
            targets,
            sample_weight=None if weights is None or not len(weights) else np.asarray(weights, dtype=float),
            reduction="sum",
            outputs=["gradient", "hessian_diagonal"],
            **parameters,
        )
        return answer.gradient, answer.hessian_diagonal

    return derivatives


def torch_loss(client: Criterion, loss: str, **parameters: Any) -> Callable[..., Any]:
    """A loss as PyTorch takes one: (predictions, targets) tensors -> a scalar, whose `backward` has the service's own gradient.

    Predictions are computed on as they are, and come back on the device and in the precision that they had. The gradient is
    exact for predictions alone; one that asks for a second derivative, or for that to the targets, is refused.
    """
    import torch  # pyright: ignore[reportMissingImports]  # whoever asks for this has it

    module: Any = torch

    class Evaluated(module.autograd.Function):
        @staticmethod
        def forward(context: Any, predictions: Any, targets: Any) -> Any:
            answer = client.evaluate(
                loss,
                predictions.detach().cpu().numpy(),
                targets.detach().cpu().numpy(),
                outputs=["value", "gradient"],
                **parameters,
            )
            context.save_for_backward(predictions.new_tensor(answer.gradient))
            return predictions.new_tensor(answer.value)

        @staticmethod
        @module.autograd.function.once_differentiable
        def backward(context: Any, slope: Any) -> tuple[Any, None]:
            (gradient,) = context.saved_tensors
            return slope * gradient, None

    return Evaluated.apply
