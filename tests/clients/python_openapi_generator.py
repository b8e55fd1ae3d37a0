"""The Python client of openapi-generator: typed requests, the same answers. Prints what it got, by case."""

import json
import sys

from criterion_openapi import (
    ApiClient,
    ApiException,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Configuration,
    Data,
    EvaluateApi,
    EvaluateRequest,
    EvaluateResponse,
    GaussianNll,
    Hinge,
    Huber,
    InlineData,
    LinearModel,
    Loss,
    LossesApi,
    MeanAbsoluteError,
    Metric,
    Model,
    Optimizer,
    Problem,
    SgdOptimizer,
    TrainingApi,
    TrainRequest,
    Validation,
)

client = ApiClient(Configuration(host=sys.argv[1]))
api = EvaluateApi(client)


def numbers(answer: EvaluateResponse) -> list[object]:
    return [answer.value, answer.per_sample, answer.gradient]


results: dict[str, list[object]] = {}

answer = api.evaluate(EvaluateRequest(loss=Loss("mse"), predictions=[2.5, 0.1, 8.3], targets=[3.0, -0.5, 2.0]))
results["mse"] = numbers(answer)

answer = api.evaluate(
    EvaluateRequest(
        loss=Loss(Huber(name="huber", delta=1.7)),
        predictions=[2.5, 0.1, 8.3],
        targets=[3.0, -0.5, 2.0],
        sample_weight=[1.0, 0.3, 2.0],
    )
)
results["huber"] = numbers(answer)

answer = api.evaluate(
    EvaluateRequest(
        loss=Loss(CategoricalCrossEntropy(name="categorical_cross_entropy", from_logits=True)),
        predictions=[[2.0, 1.0, 0.1], [0.5, 2.5, 0.3]],
        targets=[0, 2],
    )
)
assert answer.targets_encoding
results["cross_entropy"] = [*numbers(answer), answer.targets_encoding.actual_instance]

answer = api.evaluate(
    EvaluateRequest(loss=Loss(BinaryCrossEntropy(name="binary_cross_entropy")), predictions=[0.0, 0.9], targets=[1, 1])
)
assert answer.non_finite
results["pole"] = [*numbers(answer), answer.non_finite[0].value]

answer = api.evaluate(
    EvaluateRequest(
        loss=Loss(GaussianNll(name="gaussian_nll")),
        predictions={"mean": [0.1, 1.2], "variance": [0.7, 2.3]},
        targets=[0.3, -0.4],
    )
)
results["named_arrays"] = numbers(answer)

run = TrainingApi(client).train(
    TrainRequest(
        data=Data(InlineData(inputs=[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], targets=[1.0, 2.9, 5.2, 6.8, 9.1, 11.0])),
        model=Model(LinearModel(name="linear")),
        loss=Loss(Huber(name="huber", delta=1.0)),
        optimizer=Optimizer(SgdOptimizer(name="sgd", learning_rate=0.5)),
        validation=Validation(last=2),
        epochs=3,
        metrics=[Metric(MeanAbsoluteError(name="mean_absolute_error"))],
        outputs=["predictions", "per_sample"],
    )
)
results["train"] = [
    run.history[2].training_loss,
    run.history[2].validation_loss,
    run.final.metrics["mean_absolute_error"].validation,
    run.predictions,
    run.per_sample,
    run.best_epoch,
    run.stopped.reason,
]

try:
    api.evaluate(EvaluateRequest(loss=Loss(Hinge(name="hinge")), predictions=[0.3, 2.0], targets=[1, 0.5]))
except ApiException as error:
    problem = error.data
    assert isinstance(problem, Problem)
    results["refusal"] = [problem.status, problem.code, problem.errors[0].pointer, problem.errors[0].message]

loss = LossesApi(client).describe_loss("gaussian_nll")
results["catalogue"] = [loss.name, loss.formula]

print(json.dumps(results))
