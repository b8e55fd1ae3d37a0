// The client of openapi-fetch, with the types of openapi-typescript and no flag of it. Prints what it got, by case.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });

type EvaluateRequest = components["schemas"]["EvaluateRequest"];
type EvaluateResponse = components["schemas"]["EvaluateResponse"];

async function evaluate(body: EvaluateRequest): Promise<EvaluateResponse> {
  const { data, error } = await client.POST("/v1/evaluate", { body });
  if (error) throw new Error(error.detail);
  return data;
}

const numbers = (answer: EvaluateResponse): unknown[] => [answer.value, answer.per_sample, answer.gradient];

const results: Record<string, unknown[]> = {};

results["mse"] = numbers(await evaluate({ loss: "mse", predictions: [2.5, 0.1, 8.3], targets: [3.0, -0.5, 2.0] }));

results["huber"] = numbers(
  await evaluate({
    loss: { name: "huber", delta: 1.7 },
    predictions: [2.5, 0.1, 8.3],
    targets: [3.0, -0.5, 2.0],
    sample_weight: [1.0, 0.3, 2.0],
  }),
);

const rows = await evaluate({
  loss: { name: "categorical_cross_entropy", from_logits: true },
  predictions: [[2.0, 1.0, 0.1], [0.5, 2.5, 0.3]],
  targets: [0, 2],
});
results["cross_entropy"] = [...numbers(rows), rows.targets_encoding];

const pole = await evaluate({ loss: { name: "binary_cross_entropy" }, predictions: [0.0, 0.9], targets: [1, 1] });
results["pole"] = [...numbers(pole), pole.non_finite?.[0]?.value];

results["named_arrays"] = numbers(
  await evaluate({
    loss: { name: "gaussian_nll" },
    predictions: { mean: [0.1, 1.2], variance: [0.7, 2.3] },
    targets: [0.3, -0.4],
  }),
);

const run = await client.POST("/v1/train", {
  body: {
    data: { inputs: [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], targets: [1.0, 2.9, 5.2, 6.8, 9.1, 11.0] },
    model: { name: "linear" },
    loss: { name: "huber", delta: 1.0 },
    optimizer: { name: "sgd", learning_rate: 0.5 },
    validation: { last: 2 },
    epochs: 3,
    metrics: [{ name: "mean_absolute_error" }],
    outputs: ["predictions", "per_sample"],
  },
});
if (run.error) throw new Error(run.error.detail);
results["train"] = [
  run.data.history[2]?.training_loss,
  run.data.history[2]?.validation_loss,
  run.data.final.metrics["mean_absolute_error"]?.validation,
  run.data.predictions,
  run.data.per_sample,
  run.data.best_epoch,
  run.data.stopped.reason,
];

const refusal = await client.POST("/v1/evaluate", {
  body: { loss: { name: "hinge" }, predictions: [0.3, 2.0], targets: [1, 0.5] },
});
const problem = refusal.error;
results["refusal"] = [problem?.status, problem?.code, problem?.errors[0]?.pointer, problem?.errors[0]?.message];

const loss = await client.GET("/v1/losses/{name}", { params: { path: { name: "gaussian_nll" } } });
results["catalogue"] = [loss.data?.name, loss.data?.formula];

console.log(JSON.stringify(results));
