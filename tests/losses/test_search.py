"""What a learner asks, and the loss that must come first: written down before the search was."""

import pytest

from app.losses import NAMED
from app.losses.search import search
from tests.folding import in_turn

QUESTIONS = {
    "robust": "huber",
    "outliers": "huber mean_absolute_error",
    "robust regression": "huber",
    "a few targets are far off": "huber",
    "imbalance": "binary_focal",
    "class imbalance": "binary_focal categorical_focal",
    "rare positives": "binary_focal",
    "imbalanced multiclass": "categorical_focal",
    "bounding box": "iou giou diou ciou",
    "bounding box regression": "giou diou ciou",
    "object detection": "iou giou diou ciou binary_focal",
    "multi-class": "categorical_cross_entropy",
    "multiclass classification": "categorical_cross_entropy",
    "classification": "binary_cross_entropy categorical_cross_entropy",
    "binary classification": "binary_cross_entropy",
    "yes or no": "binary_cross_entropy",
    "multi-label": "multilabel_soft_margin",
    "several labels at once": "multilabel_soft_margin binary_cross_entropy",
    "probability forecast": "brier_score ranked_probability_score",
    "calibration": "brier_score",
    "segmentation": "dice",
    "medical image segmentation": "dice",
    "overlap of masks": "dice",
    "embedding": "cosine_embedding triplet_margin contrastive cosine_similarity",
    "face recognition": "arcface",
    "siamese network": "contrastive",
    "similar texts": "cosine_similarity cosine_embedding",
    "ranking": "margin_ranking",
    "learning to rank": "pairwise_logistic",
    "preference": "dpo",
    "rlhf": "dpo",
    "fine-tune a language model on preferences": "dpo",
    "DPO": "dpo",
    "reward model": "bradley_terry",
    "counts": "poisson_nll poisson_deviance",
    "count data": "poisson_nll poisson_deviance",
    "noisy labels": "generalized_cross_entropy",
    "support vector machine": "hinge",
    "svm": "hinge",
    "percent error": "mean_absolute_percentage_error weighted_absolute_percentage_error",
    "prediction interval": "quantile",
    "quantile regression": "quantile",
    "too little costs more than too much": "quantile",
    "speech recognition": "ctc",
    "streaming speech recognition": "rnn_t",
    "gan": "wgan minimax_gan relativistic_average_gan",
    "optimal transport": "sinkhorn",
    "multivariate ensemble forecast": "energy_score variogram_score",
    "insurance claims": "tweedie_nll tweedie_deviance",
    "positive skewed amounts": "gamma_nll gamma_deviance",
    "knowledge distillation": "knowledge_distillation kl_divergence",
    "uncertainty": "gaussian_nll",
    "heteroscedastic": "gaussian_nll",
    "accuracy": "zero_one",
    "error rate": "zero_one",
    "least squares": "mean_squared_error",
    "logistic regression": "logistic binary_cross_entropy",
    "boosting": "exponential half_squared_error",
    "worst case": "max_error",
    "tolerance": "epsilon_insensitive squared_epsilon_insensitive",
    "median": "mean_absolute_error median_absolute_error",
    "relative error": "mean_absolute_percentage_error mean_squared_logarithmic_error",
    "softmax": "categorical_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy",
    "F.smooth_l1_loss": "smooth_l1",
    "torch.nn.HuberLoss": "huber",
    "reg:squarederror": "half_squared_error",
    "MSE": "mean_squared_error",
    "hub": "huber",
    "loss for regression": "mean_squared_error",
    "custom loss": "expression",
    "own formula": "expression",
    "my own loss": "expression",
    "custom": "expression",
    "several losses": "weighted_sum multi_task",
    "combine losses": "weighted_sum",
    "weighted sum of losses": "weighted_sum",
    "several outputs": "multi_task",
    "multi-task learning": "multi_task",
    "price of mistakes": "asymmetric",
    "asymmetric": "asymmetric",
}
"""Each with the losses of which one must come first."""


@in_turn("question", QUESTIONS)
def test_the_right_loss_comes_first(question: str) -> None:
    found = [loss.name for loss in search(question, NAMED.values())]
    assert found[:1], question
    assert found[0] in QUESTIONS[question].split(), found[:5]


@pytest.mark.thorough
def test_every_name_and_alias_finds_its_losses_first() -> None:
    names = {loss: {loss.name, *(alias.name for alias in loss.aliases)} for loss in NAMED.values()}
    for loss in NAMED.values():
        assert search(loss.name.replace("_", " "), NAMED.values())[0] is loss
        for name in names[loss]:
            sharing = [other for other in NAMED.values() if name in names[other]]
            assert loss in search(name, NAMED.values())[: len(sharing)], name


def test_what_nobody_knows_is_passed_over_and_alone_finds_nothing() -> None:
    assert search("huber xyzzy", NAMED.values()) == search("huber", NAMED.values())
    for nothing in ("xyzzy", "lossregression", "\x00", "e", "the loss of", "…"):
        assert search(nothing, NAMED.values()) == ([*NAMED.values()] if nothing == "the loss of" else []), nothing


def test_a_loss_that_is_found_has_all_words_where_any_has() -> None:
    found = search("smooth robust regression", NAMED.values())
    assert found[0].name in ("huber", "log_cosh", "smooth_l1")
    for word in ("smooth", "robust", "regression"):
        assert set(found) <= set(search(word, NAMED.values()))
