"""The client of openapi-python-client: typed requests, the same answers. Prints what it got, by case."""

import json
import sys

from criterion_client import Client
from criterion_client.api.evaluate import evaluate
from criterion_client.api.losses import describe_loss
from criterion_client.api.training import train
from criterion_client.models import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    EvaluateRequest,
    EvaluateResponse,
    GaussianNll,
    Hinge,
    Huber,
    InlineData,
    LinearModel,
    LossDetail,
    MeanAbsoluteError,
    Problem,
    SgdOptimizer,
    TrainRequest,
    TrainRequestOutputsItem,
    TrainResponse,
    Validation,
)

client = Client(sys.argv[1])


def evaluated(request: EvaluateRequest) -> EvaluateResponse:
    answer = evaluate.sync(client=client, body=request)
    assert isinstance(answer, EvaluateResponse), answer
    return answer


def numbers(answer: EvaluateResponse) -> list[object]:
    return [answer.value, answer.per_sample, answer.gradient]


results: dict[str, list[object]] = {}

answer = evaluated(EvaluateRequest(loss="mse", predictions=[2.5, 0.1, 8.3], targets=[3.0, -0.5, 2.0]))
results["mse"] = numbers(answer)

answer = evaluated(
    EvaluateRequest(loss=Huber(delta=1.7), predictions=[2.5, 0.1, 8.3], targets=[3.0, -0.5, 2.0], sample_weight=[1.0, 0.3, 2.0])
)
results["huber"] = numbers(answer)

answer = evaluated(
    EvaluateRequest(
        loss=CategoricalCrossEntropy(from_logits=True), predictions=[[2.0, 1.0, 0.1], [0.5, 2.5, 0.3]], targets=[0, 2]
    )
)
results["cross_entropy"] = [*numbers(answer), answer.targets_encoding]

answer = evaluated(EvaluateRequest(loss=BinaryCrossEntropy(), predictions=[0.0, 0.9], targets=[1, 1]))
assert answer.non_finite
results["pole"] = [*numbers(answer), answer.non_finite[0].value]

answer = evaluated(
    EvaluateRequest(loss=GaussianNll(), predictions={"mean": [0.1, 1.2], "variance": [0.7, 2.3]}, targets=[0.3, -0.4])
)
results["named_arrays"] = numbers(answer)

run = train.sync(
    client=client,
    body=TrainRequest(
        data=InlineData(inputs=[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], targets=[1.0, 2.9, 5.2, 6.8, 9.1, 11.0]),
        model=LinearModel(),
        loss=Huber(delta=1.0),
        optimizer=SgdOptimizer(learning_rate=0.5),
        validation=Validation(last=2),
        epochs=3,
        metrics=[MeanAbsoluteError()],
        outputs=[TrainRequestOutputsItem.PREDICTIONS, TrainRequestOutputsItem.PER_SAMPLE],
    ),
)
assert isinstance(run, TrainResponse), run
results["train"] = [
    run.history[2].training_loss,
    run.history[2].validation_loss,
    run.final.metrics["mean_absolute_error"].validation,
    run.predictions,
    run.per_sample,
    run.best_epoch,
    run.stopped.reason,
]

problem = evaluate.sync(client=client, body=EvaluateRequest(loss=Hinge(), predictions=[0.3, 2.0], targets=[1, 0.5]))
assert isinstance(problem, Problem), problem
results["refusal"] = [problem.status, problem.code, problem.errors[0].pointer, problem.errors[0].message]

loss = describe_loss.sync("gaussian_nll", client=client)
assert isinstance(loss, LossDetail), loss
results["catalogue"] = [loss.name, loss.formula]

print(json.dumps(results))
