"""What a caller probably means by a word that is none of ours: what other libraries call the same, and slips of the pen."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

SYNONYMS: Mapping[str, str] = {
    # evaluation: scikit-learn, Keras, PyTorch, Hugging Face, R
    "predictions": "prediction predicted preds pred y_pred y_hat y_score y_prob y_proba scores score logits probs probabilities "
    "probas_pred proba input inputs x fitted estimate estimates forecast forecasts model_output",
    "targets": "target y_true y true truth ground_truth gt actual actuals observed expected labels label label_ids reference "
    "references response y_train",
    "sample_weight": "weights weight sample_weights w case_weights obs_weights example_weights",
    "mask": "attention_mask padding_mask valid keep masks",
    "classes": "class_names label_names target_names levels categories names",
    "reduction": "reduce average averaging aggregation agg size_average",
    "outputs": "output return returns",
    "loss": "name loss_fn loss_function loss_name criterion objective",
    "reference": "loss name loss_fn loss_function loss_name criterion objective",
    # parameters of losses
    "class_weight": "weight weights class_weights",
    "pos_weight": "positive_weight scale_pos_weight weight",
    "ignore_index": "ignore_class ignore_label padding_idx",
    "label_smoothing": "smoothing label_smooth",
    "from_logits": "logits with_logits apply_softmax apply_sigmoid",
    "class_axis": "axis dim channel_axis",
    "quantile": "tau alpha q level",
    "delta": "beta threshold huber_delta",
    "beta": "delta",
    "epsilon": "eps",
    "eps": "epsilon",
    "smooth": "smoothing epsilon eps",
    "clip": "eps epsilon",
    "power": "tweedie_variance_power variance_power p",
    "gamma": "focusing",
    "box_format": "bounding_box_format format fmt",
    "terms": "losses components parts summands",
    "heads": "tasks outputs losses",
    "over": "over_weight overestimation positive",
    "under": "under_weight underestimation negative",
    # training
    "data": "dataset train_data training_data df dataframe dataframe_split dataframe_records instances table",
    "inputs": "x x_train features feature_matrix",
    "model": "estimator net network architecture",
    "optimizer": "optim optimiser solver algorithm",
    "schedule": "scheduler lr_scheduler lr_schedule learning_rate_schedule",
    "learning_rate": "lr eta eta0 learning_rate_init step_size",
    "epochs": "n_epochs num_epochs epoch max_iter num_train_epochs n_estimators num_boost_round nrounds iterations n_iter",
    "batch_size": "batch batches minibatch_size per_device_train_batch_size",
    "hidden": "layers hidden_layer_sizes hidden_layers hidden_units hidden_size n_hidden units",
    "hidden_activation": "activation activations nonlinearity",
    "seed": "random_state random_seed",
    "validation": "validation_data validation_set val eval_set",
    "fraction": "validation_split validation_fraction test_size val_split",
    "metrics": "metric eval_metric scoring",
    "standardize": "normalize scale scaler",
    "regularization": "penalty regularizer",
    "gradient_clipping": "clip grad_clip gradient_clip",
    "norm": "clip_norm max_grad_norm gradient_clip_val",
    "patience": "n_iter_no_change early_stopping_rounds",
    "n_samples": "n num_samples samples",
    "min_samples_leaf": "min_child_samples min_data_in_leaf",
    # models
    "mlp": "neural_network neural_net nn nnet multilayer dense sequential",
    "boosted_trees": "xgboost lightgbm catboost xgb lgbm trees",
}
"""Our words, each with what others call the same. A word may stand for several of ours: what is there decides."""


def folded(word: str) -> str:
    """A word without what spelling it differently changes: case, hyphens, underscores and spaces."""
    return word[:80].casefold().translate({ord(mark): None for mark in "-_ ."})


SHORTEST_PART = 4
"""Letters of a word that tells a name by a part of it."""
_MEANT: dict[str, list[str]] = {}
for _ours, _theirs in SYNONYMS.items():
    for _word in _theirs.split():
        _MEANT.setdefault(folded(_word), []).append(_ours)


def translated(word: str, known: Iterable[str]) -> str | None:
    """The one of these words that this is another spelling or another library's name of."""
    spelled = _spelled(known)
    wanted = folded(word)
    if wanted in spelled:
        return spelled[wanted]
    ours = (*map(folded, _MEANT.get(wanted, ())), wanted.removesuffix("loss"))
    return next((spelled[word] for word in ours if word in spelled), None)


def meant(word: str, known: Iterable[str], most: int = 3, cutoff: float = 0.65) -> list[str]:
    """The few of these words that were probably meant, the likeliest first."""
    known = [*known]
    found = translated(word, known)
    if found is not None:
        return [found]
    spelled = _spelled(known)
    close = get_close_matches(folded(word), spelled, n=most, cutoff=cutoff)
    return (_with_part(word, known) or [spelled[name] for name in close])[:most]


def _with_part(word: str, known: Iterable[str]) -> list[str]:
    """The words of several parts of which one is this word, those of fewest parts first: binary_focal for FocalLoss."""
    part = folded(word).removesuffix("loss")
    found = [name for name in known if part in name.casefold().split("_")] if len(part) >= SHORTEST_PART else []
    return sorted(found, key=lambda name: name.count("_"))


def _spelled(known: Iterable[str]) -> dict[str, str]:
    """The words by how they are spelled: of those that are spelled alike, the first."""
    return {folded(name): name for name in reversed([*known])}
