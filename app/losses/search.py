"""Losses for the words of somebody who does not know their names, the likeliest first.

A word counts by the field in which it occurs: most in a name, less in what a loss is for, least in its formula. Words that
no loss has are passed over; of the others, losses that have all of them come alone.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple, TypeVar

from app.libraries import unprefixed
from app.losses.loss import Described, Property
from app.suggestions import folded

SYNONYMS: Mapping[str, str] = {
    # what the data are
    "class": "multiclass, category",
    "classification": "binary cross entropy, categorical cross entropy",
    "classifier": "binary cross entropy, categorical cross entropy",
    "multi class": "multiclass, categorical cross entropy",
    "multiclass": "categorical cross entropy, categorical",
    "category": "categorical, classes",
    "multi label": "multilabel, labels at once",
    "multilabel": "labels at once",
    "tag": "multilabel, labels at once",
    "tagging": "multilabel",
    "yes no": "answer is yes or no",
    "binary": "binary cross entropy, yes or no",
    "count": "counts, poisson, how often",
    "amount": "amounts, gamma",
    "price": "mean squared logarithmic error, prices",
    "wrong label": "labels are wrong, noise in labels",
    "bbox": "bounding boxes",
    "claim": "claims, insurance",
    "duration": "durations",
    "vector": "vectors, embeddings",
    "embedding": "embeddings, metric learning, vectors",
    "similar": "cosine similarity, alike",
    "similarity": "cosine, alike",
    "distance": "distances",
    "text": "texts, embeddings",
    "face": "faces",
    "image": "picture, mask",
    "medical": "organ, mask",
    "pixel": "mask, segmentation",
    "mask": "masks, segmentation",
    "segmentation": "mask",
    "box": "boxes, bounding boxes",
    "bounding box": "bounding boxes",
    "bounding box regression": "giou, bounding boxes regressed",
    "object detection": "bounding boxes, detection",
    "detector": "detection",
    "speech": "recording, alignment",
    "streaming": "transducer, frames still come",
    "gan": "generators, critic",
    "generative": "generators, critic, samples of a generator",
    "adversarial": "generators, critic",
    "optimal transport": "transport, sinkhorn",
    "two sample": "two sets of samples",
    "multivariate": "several quantities",
    "speech recognition": "ctc, recording",
    "ocr": "ctc",
    "handwriting": "ctc",
    "forecast": "probability forecast, percent",
    "probabilistic": "probability, proper",
    "probability": "probabilities",
    "distribution": "distributions",
    "teacher": "teacher, distributions",
    "distillation": "teacher",
    "knowledge distillation": "teacher",
    "recognition": "identities, recording",
    "retrieval": "embeddings, nearest neighbours",
    "recommendation": "recommendations, margin ranking",
    "ranking": "margin ranking",
    "tolerance": "epsilon insensitive",
    "rank": "margin ranking, ranking, order",
    "learning to rank": "pairwise logistic, lambda loss, margin ranking",
    "ndcg": "approx ndcg, lambda loss",
    "mrr": "approx mrr",
    "search engine": "lambda loss, pairwise logistic",
    "contrast": "contrastive",
    "self supervised": "nt xent, vicreg, views",
    "simclr": "nt xent",
    "view": "views",
    "caption": "captions, clip",
    "triplet": "triplets, triplet margin",
    "cluster": "clusters, supervised contrastive",
    "accelerated failure time": "aft nll",
    "language model": "sequence cross entropy, language",
    "llm": "sequence cross entropy, language",
    "token": "tokens, sequence cross entropy",
    "repetition": "unlikelihood, repeats",
    "heat map": "gaussian focal",
    "siamese": "siamese, contrastive",
    "pair": "pairs",
    "preference": "direct preference optimization, preferences",
    "rlhf": "direct preference optimization, preferences",
    "reward model": "bradley terry, reward model",
    # what is wrong with them
    "robust": "huber, outliers, far off, bounded gradient",
    "outlier": "huber, outliers, far off",
    "far off": "huber, outliers",
    "imbalance": "few positives, easy negatives, common",
    "imbalanced": "few positives, easy negatives, common",
    "unbalanced": "few positives, easy negatives, common",
    "class imbalance": "few positives, common",
    "rare positive": "few positives",
    "rare": "few",
    "noisy label": "labels are wrong, noise in labels",
    "label noise": "labels are wrong, noise in labels",
    "mislabelled": "labels are wrong, mislabelled",
    "skewed": "skewed",
    "zero inflated": "exactly zero, exactly 0",
    # what is wanted
    "calibration": "calibration",
    "calibrated": "calibration",
    "uncertainty": "uncertainty, how sure",
    "heteroscedastic": "uncertainty, noise differs",
    "variance": "variance",
    "interval": "interval, quantile",
    "prediction interval": "quantile, interval",
    "asymmetric": "another price, price for each, two prices",
    "custom": "formula of your own",
    "own": "expression",
    "formula": "expression",
    "combine": "combined, several losses",
    "combination": "combined, several losses",
    "multi task": "multi task, several outputs",
    "cost more": "costs another price",
    "percent": "percentage, percent",
    "percentage": "percent",
    "relative": "relative, ratio, percentage",
    "relative error": "mean absolute percentage error, relative errors, relative to the target, percentage",
    "accuracy": "accuracy, error rate",
    "misclassification": "zero one, wrong decisions",
    "worst case": "max error, worst sample",
    "minimax": "max error",
    "least squares": "mean squared error, least squares",
    "ols": "mean squared error",
    "lad": "mean absolute error",
    "average": "mean",
    "margin": "margin",
    "support vector": "support vector, hinge",
    "support vector machine": "hinge, support vector machine",
    "boosting": "boosting, adaboost, booster",
    "softmax": "softmax, categorical cross entropy",
    "sigmoid": "binary cross entropy",
    "entropy": "cross entropy",
    "deviance": "deviance",
    "glm": "deviance",
    "regression": "mean squared error",
    "smooth": "smooth",
    "differentiable": "differentiable",
    "hard example": "hard ones",
    "overlap": "overlap, iou",
    "jaccard": "iou",
    "f1": "dice",
}
"""What people say, one word or several, each with what stands in the catalogue for it: alternatives, by commas."""
_EMPTY = frozenset(
    """a an and are as be by can do does few for from function functions how i if in is it loss losses me more my not of off on
    or should than that the them there they this to too use used want was what when where which who with""".split()  # noqa: SIM905
)
"""Words that stand for nothing a loss has by itself."""
_WEIGHTS = {"name": 30.0, "alias": 18.0, "summary": 10.0, "use": 9.0, "family": 8.0, "property": 4.0, "description": 2.0}
_WHOLE = 15.0
"""On top for a name that is all there is to it: huber comes before modified_huber."""
_BY_SYNONYM, _BY_BEGINNING = 0.7, 0.4
_KNOWN_BY = 0.05
"""For each name that a loss has elsewhere: of two that fit alike, the better known comes first."""
_SHORT = 3
T = TypeVar("T", bound=Described)


class Fields(NamedTuple):
    """The words of a loss by where they occur: as one text, a space around each, in which it takes no loop to find one."""

    words: Mapping[str, str]
    names: frozenset[str]


def search(question: str, losses: Iterable[T]) -> list[T]:
    """The losses that these words fit, the likeliest first; all of them where there are no words."""
    losses, words = [*losses], _words(question)
    wanted = _wanted(words)
    named = _named(unprefixed(question.strip())[1], losses)
    if words and not wanted:
        return losses
    scores = {loss: [_score(fields(loss), alternatives) for alternatives in wanted] for loss in losses}
    known = [thing for thing in range(len(wanted)) if any(score[thing] for score in scores.values())]
    most = max((sum(score[thing] > 0 for thing in known) for score in scores.values()), default=0)
    found = [loss for loss in losses if loss in named or (most and sum(scores[loss][thing] > 0 for thing in known) == most)]
    return sorted(found, key=lambda loss: (loss not in named, -sum(scores[loss]) - _KNOWN_BY * len(loss.aliases)))


def _named(name: str, losses: list[T]) -> list[T]:
    """The losses of this very name or alias; of one that differs in case and hyphens where there are none."""
    exactly = [loss for loss in losses if name in fields(loss).names]
    return exactly or [loss for loss in losses if folded(name) in map(folded, fields(loss).names)]


@cache
def fields(loss: Described) -> Fields:
    """The words of a loss by where they occur."""
    texts = {
        "name": loss.name,
        "alias": " ".join(alias.name for alias in loss.aliases),
        "summary": loss.summary,
        "use": loss.guide.use_when,
        "family": f"{loss.family} {loss.family_summary}",
        "property": " ".join((member.name or "") for member in Property if member in loss.properties),
        "description": f"{loss.description} {loss.reference}",
    }
    names = frozenset((loss.name, *(alias.name for alias in loss.aliases)))
    return Fields({field: _spaced(_words(text)) for field, text in texts.items()}, names)


def _words(text: str) -> list[str]:
    """Words in small letters, those of camel case apart, as they are in the singular."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold()
    return [_stem(word) for word in re.findall(r"[^\W_]+", apart)]


def _spaced(words: list[str]) -> str:
    return f" {' '.join(words)} "


def _stem(word: str) -> str:
    """A word without an ending."""
    if len(word) > _SHORT + 1 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > _SHORT and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _wanted(words: list[str]) -> list[list[tuple[float, list[str]]]]:
    """What is asked for, thing by thing: alternatives, each with its weight and its words."""
    wanted: list[list[tuple[float, list[str]]]] = []
    start = 0
    while start < len(words):
        length = next((n for n in (3, 2) if " ".join(words[start : start + n]) in _MEANT and start + n <= len(words)), 1)
        asked = words[start : start + length]
        meant = _MEANT.get(" ".join(asked), [])
        if meant or asked[0] not in _EMPTY:
            wanted.append([(1.0, asked), *((_BY_SYNONYM, phrase) for phrase in meant)])
        start += length
    return wanted


def _score(loss: Fields, alternatives: list[tuple[float, list[str]]]) -> float:
    """How well a loss fits one thing that is asked for: field by field, the alternative that fits best."""
    whole = max((share for share, phrase in alternatives if _spaced(phrase) == loss.words["name"]), default=0.0)
    return _WHOLE * whole + sum(
        weight * max(share * _fit(loss.words[field], phrase) for share, phrase in alternatives)
        for field, weight in _WEIGHTS.items()
    )


def _fit(words: str, phrase: list[str]) -> float:
    """1 where a field has all words of a phrase, less where only their beginnings; 0 where one is missing."""
    fits = [
        1.0 if f" {word} " in words else _BY_BEGINNING if len(word) >= _SHORT and f" {word}" in words else 0.0
        for word in phrase
        if word not in _EMPTY
    ]
    return min(fits, default=0.0)


_MEANT = {" ".join(_words(phrase)): [_words(phrase) for phrase in meant.split(",")] for phrase, meant in SYNONYMS.items()}
