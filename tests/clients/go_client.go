// The Go client of openapi-generator: typed requests, the same answers. Prints what it got, by case.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"

	criterion "criterion"
)

var client *criterion.APIClient

func evaluate(loss criterion.Loss, predictions, targets interface{}, weights ...float64) *criterion.EvaluateResponse {
	request := criterion.NewEvaluateRequest(loss, predictions)
	request.SetTargets(targets)
	if weights != nil {
		request.SetSampleWeight(weights)
	}
	answer, _, err := client.EvaluateAPI.Evaluate(context.Background()).EvaluateRequest(*request).Execute()
	if err != nil {
		log.Fatal(err)
	}
	return answer
}

func numbers(answer *criterion.EvaluateResponse, more ...interface{}) []interface{} {
	return append([]interface{}{answer.Value.Get(), answer.PerSample, answer.Gradient}, more...)
}

func train() *criterion.TrainResponse {
	inputs := [][]float64{{0}, {1}, {2}, {3}, {4}, {5}}
	data := criterion.InlineDataAsData(criterion.NewInlineData(inputs, []float64{1.0, 2.9, 5.2, 6.8, 9.1, 11.0}))
	model := criterion.LinearModelAsModel(criterion.NewLinearModelWithDefaults())
	huber := criterion.NewHuberWithDefaults()
	huber.SetDelta(1.0)
	sgd := criterion.NewSgdOptimizerWithDefaults()
	sgd.SetLearningRate(0.5)
	validation := criterion.NewValidation()
	validation.SetLast(2)

	request := criterion.NewTrainRequest()
	request.SetData(data)
	request.SetModel(model)
	request.SetLoss(criterion.HuberAsLoss(huber))
	request.SetOptimizer(criterion.SgdOptimizerAsOptimizer(sgd))
	request.SetValidation(*validation)
	request.SetEpochs(3)
	request.SetMetrics([]criterion.Metric{criterion.MeanAbsoluteErrorAsMetric(criterion.NewMeanAbsoluteErrorWithDefaults())})
	request.SetOutputs([]string{"predictions", "per_sample"})
	run, _, err := client.TrainingAPI.Train(context.Background()).TrainRequest(*request).Execute()
	if err != nil {
		log.Fatal(err)
	}
	return run
}

func refused() criterion.Problem {
	hinge := criterion.HingeAsLoss(criterion.NewHingeWithDefaults())
	request := criterion.NewEvaluateRequest(hinge, []float64{0.3, 2.0})
	request.SetTargets([]float64{1, 0.5})
	_, _, err := client.EvaluateAPI.Evaluate(context.Background()).EvaluateRequest(*request).Execute()
	var refusal *criterion.GenericOpenAPIError
	if !errors.As(err, &refusal) {
		log.Fatal("not refused: ", err)
	}
	return refusal.Model().(criterion.Problem)
}

func main() {
	configuration := criterion.NewConfiguration()
	configuration.Servers = criterion.ServerConfigurations{{URL: os.Args[1]}}
	client = criterion.NewAPIClient(configuration)
	results := map[string][]interface{}{}

	name := "mse"
	predictions, targets := []float64{2.5, 0.1, 8.3}, []float64{3.0, -0.5, 2.0}
	results["mse"] = numbers(evaluate(criterion.StringAsLoss(&name), predictions, targets))

	huber := criterion.NewHuberWithDefaults()
	huber.SetDelta(1.7)
	results["huber"] = numbers(evaluate(criterion.HuberAsLoss(huber), predictions, targets, 1.0, 0.3, 2.0))

	entropy := criterion.NewCategoricalCrossEntropyWithDefaults()
	entropy.SetFromLogits(true)
	answer := evaluate(
		criterion.CategoricalCrossEntropyAsLoss(entropy), [][]float64{{2.0, 1.0, 0.1}, {0.5, 2.5, 0.3}}, []int{0, 2},
	)
	results["cross_entropy"] = numbers(answer, answer.TargetsEncoding.String)

	answer = evaluate(
		criterion.BinaryCrossEntropyAsLoss(criterion.NewBinaryCrossEntropyWithDefaults()), []float64{0, 0.9}, []int{1, 1},
	)
	results["pole"] = numbers(answer, answer.NonFinite[0].Value)

	named := map[string][]float64{"mean": {0.1, 1.2}, "variance": {0.7, 2.3}}
	results["named_arrays"] = numbers(
		evaluate(criterion.GaussianNllAsLoss(criterion.NewGaussianNllWithDefaults()), named, []float64{0.3, -0.4}),
	)

	run := train()
	epoch, score := run.History[2], run.Final.Metrics["mean_absolute_error"]
	results["train"] = []interface{}{
		epoch.TrainingLoss, epoch.ValidationLoss.Get(), score.Validation.Get(), run.Predictions, run.PerSample,
		run.BestEpoch.Get(), run.Stopped.Reason,
	}

	problem := refused()
	results["refusal"] = []interface{}{problem.Status, problem.Code, problem.Errors[0].Pointer, problem.Errors[0].Message}

	loss, _, err := client.LossesAPI.DescribeLoss(context.Background(), "gaussian_nll").Execute()
	if err != nil {
		log.Fatal(err)
	}
	results["catalogue"] = []interface{}{loss.Name, loss.Formula}

	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		log.Fatal(err)
	}
}
