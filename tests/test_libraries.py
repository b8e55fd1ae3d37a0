"""Names from other libraries, and what is said to equal their calls. Whether it does, `make test-equals` tries."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.errors import UnknownName
from app.libraries import LIBRARIES, Equal, equal, unprefixed, with_twins
from app.losses import LOSSES
from app.registry import Registry
from app.training import DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES
from tests.equals import examples
from tests.folding import in_turn

REGISTRIES: dict[str, Registry[Any]] = {
    registry.noun: registry for registry in (LOSSES, DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES)
}
EQUALS = [(registry, thing, same) for registry in REGISTRIES.values() for thing in registry.values() for same in thing.equals]
OF_LOSSES = [(loss, same) for loss in LOSSES.values() for same in with_twins(loss.equals)]
PACKAGES = {"sklearn": "scikit-learn"}
"""Where a package is named otherwise than what is imported."""
REQUIREMENTS = Path(__file__).parent / "equals" / "requirements.txt"


# --- what is said -----------------------------------------------------------------------------------------------------------


@in_turn(("registry", "thing", "same"), EQUALS, ids=[f"{thing.name}-{same.call}" for _, thing, same in EQUALS])
def test_a_claim_is_of_a_known_library_and_sets_parameters_that_are_there(registry: Any, thing: Any, same: Equal) -> None:
    assert same.library.name in LIBRARIES
    assert same.function.startswith(f"{same.library.name}.")
    assert same.parameters.keys() <= thing.parameters.keys()
    assert not (set(same.differs_at) and not same.caveat), "why it differs is said"
    assert same.caveat == "" or same.caveat.endswith(".")


@in_turn(("loss", "same"), OF_LOSSES, ids=[f"{loss.name}-{same.call}" for loss, same in OF_LOSSES])
def test_names_in_a_call_are_arrays_and_parameters(loss: Any, same: Equal) -> None:
    assert same.names <= loss.inputs.keys() | loss.parameters.keys() | {"reduction", "k", "np", "jnp"}


def test_a_call_of_no_known_library_is_refused() -> None:
    with pytest.raises(StopIteration):
        _ = equal("numpy.mean(predictions - targets)").library


def test_versions_are_those_that_the_claims_are_run_with() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(), flags=re.M))
    versions = {PACKAGES.get(name, name.replace("_", "-")): library.version for name, library in LIBRARIES.items()}
    assert pinned.items() >= {name: version for name, version in versions.items() if version}.items()
    assert pinned.keys() - versions.keys() == {"requests", "httpx"}, "what the service is asked with"


def test_contributing_says_how_many_calls_are_run() -> None:
    run = [same for _, same in OF_LOSSES if same.library.version]
    claim = re.search(r"(\d+) calls of (\d+) libraries", (REQUIREMENTS.parents[2] / "CONTRIBUTING.md").read_text())
    assert claim
    assert [int(number) for number in claim.groups()] == [len(run), len({same.library.name for same in run})]


# --- an alias is a promise --------------------------------------------------------------------------------------------------


@pytest.mark.no_cover  # others run these lines as well
@in_turn(("loss", "same"), OF_LOSSES, ids=[f"{loss.name}-{same.call}" for loss, same in OF_LOSSES])
def test_a_name_means_what_it_means_at_home(loss: Any, same: Equal) -> None:
    """An alias sets what one of the libraries that have the name needs; with the library's prefix, what that one needs."""
    name = same.function.rpartition(".")[2]
    calls = [(other, claim) for other, claim in OF_LOSSES if claim.function.rpartition(".")[2] == name]
    at_home = [(other, claim) for other, claim in calls if claim.library is same.library]
    try:
        found = LOSSES.resolve(same.function)
    except UnknownName:
        assert not same.is_plain or len(at_home) > 1, "a name of one meaning is understood"
    else:
        assert any(found == (other, claim.parameters) for other, claim in at_home if claim.is_plain)
    if name not in LOSSES and len({repr((other.name, claim.parameters)) for other, claim in calls}) == 1:
        known = {other.name: other for entry in LOSSES.values() for other in entry.aliases}
        assert name not in known or known[name].parameters == calls[0][1].parameters


@pytest.mark.parametrize(
    "example", [*examples.DOCUMENTED, *examples.CORRECTED], ids=lambda example: f"{example.call}-{example.printed}"
)
def test_what_a_library_prints_is_what_its_name_gives_here(example: examples.Example) -> None:
    """`make test-equals` runs the same calls there."""
    assert examples.is_printed(example, examples.here(example)), examples.here(example)


def test_what_is_printed_is_held_to_its_last_place() -> None:
    example = examples.DOCUMENTED[1]._replace(printed="0.708")
    assert [examples.is_printed(example, found) for found in (0.7081, 0.7089, 0.7095, [0.708, 0.708])] == [
        True,
        True,
        False,
        False,
    ]


def test_classes_and_functions_of_a_library_are_twins() -> None:
    functional = equal("torch.nn.HuberLoss(delta=delta, reduction=reduction)(predictions, targets)").twin
    assert functional
    assert functional.call == "torch.nn.functional.huber_loss(predictions, targets, delta=delta, reduction=reduction)"
    assert functional.twin
    assert functional.twin.call == "torch.nn.HuberLoss(delta=delta, reduction=reduction)(predictions, targets)"
    without = equal("keras.losses.Huber(delta=delta, reduction=reduction)(targets, predictions)").twin
    assert without
    assert (without.call, without.reductions) == ("keras.losses.huber(targets, predictions, delta=delta)", ("none",))
    assert equal("scipy.special.huber(delta, predictions)").twin is None


# --- how a name may be written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name", "parameters"),
    [
        ("torch.nn.HuberLoss", "huber", {}),
        ("nn.HuberLoss", "huber", {}),
        (
            "torch.nn.functional.cross_entropy",
            "categorical_cross_entropy",
            {"from_logits": True, "class_axis": 1, "ignore_index": -100},
        ),
        ("keras.losses.MeanSquaredError", "mean_squared_error", {}),
        ("tf.keras.losses.MeanSquaredError", "mean_squared_error", {}),
        ("sklearn.metrics.root_mean_squared_error", "root_mean_squared_error", {"multioutput": "uniform_average"}),
        ("sklearn.metrics.log_loss", "binary_cross_entropy", {"clip": 2.220446049250313e-16}),
        ("optax.l2_loss", "half_squared_error", {}),
        ("optax.losses.ctc_loss", "ctc", {"from_logits": True}),
        ("torch.nn.CTCLoss", "ctc", {"divide_by_length": True}),
        ("F.mse_loss", "mean_squared_error", {}),
        ("torch.nn.functional.ctc_loss", "ctc", {"divide_by_length": True}),
        ("monai.losses.DiceLoss", "dice", {"smooth_nr": 1e-5, "smooth_dr": 1e-5}),
        ("optax.losses.binary_dice_loss", "dice", {"from_logits": True, "smooth": 2.0}),
        ("keras.losses.categorical_crossentropy", "categorical_cross_entropy", {"clip": 1e-7}),
        ("HUBERLOSS", "huber", {}),
        ("Mean-Squared Error", "mean_squared_error", {}),
        ("TORCH.NN.HUBERLOSS", "huber", {}),
    ],
)
def test_prefixes_case_and_hyphens_are_understood(written: str, name: str, parameters: dict[str, object]) -> None:
    assert LOSSES.resolve(written) == (LOSSES[name], parameters)


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_every_name_is_found_exactly_however_many_are_like_it(registry: Registry[Any]) -> None:
    for thing in registry.values():
        assert registry.resolve(thing.name) == (thing, {})
        for other in thing.aliases:
            shapes = [(3,) * len(axes.split()) for axes in other.shapes]
            assert registry.find(other.name, shapes=shapes) == (thing, other.parameters)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("torch.nn.functional.cosine_similarity", "the catalogue says when cosine_similarity equals it"),  # its negative
        ("monai.losses.FocalLoss", "binary_focal or categorical_focal"),
        ("sklearn._loss.loss.HalfTweedieLossIdentity", "the catalogue says when tweedie_deviance equals it"),  # half of it
        ("torch.nn.HuberLos", "Did you mean HuberLoss"),
        ("scipy.special.gamma", "has not been compared with any loss: without scipy, gamma is gamma_nll"),  # the function Γ
        ("monai.losses.ContrastiveLoss", "without monai, ContrastiveLoss is contrastive"),  # of two views
        ("torch.nn.CosineSimilarity", "has not been compared"),  # the larger the more alike
        ("torch.quantile", "has not been compared"),  # of a sample
        ("torch.nn.", "There is no loss named ''"),
    ],
)
def test_what_is_no_name_or_several_is_refused(written: str, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        LOSSES.resolve(written)
    assert message in caught.value.faults[0].message


def test_a_name_that_folds_to_several_meanings_is_refused() -> None:
    """Of names that differ in case only the exact one counts; no other is guessed."""
    folded: dict[str, set[str]] = {}
    for thing in LOSSES.values():
        for other in [other for other in thing.aliases if not other.shapes]:
            folded.setdefault(other.name.casefold().replace("-", "_"), set()).add(repr((thing.name, other.parameters)))
    several = [name for name, meanings in folded.items() if len(meanings) > 1]
    for name in several:
        odd = name.title().swapcase()
        with pytest.raises(UnknownName, match="may mean"):
            LOSSES.resolve(odd)


@pytest.mark.parametrize(
    ("name", "shapes", "loss"),
    [
        ("log_loss", [(3,), (3,)], "binary_cross_entropy"),
        ("log_loss", [(3, 1), (3, 1)], "binary_cross_entropy"),
        ("log_loss", [(3, 2), (3,)], "categorical_cross_entropy"),
        ("Log-Loss", [(3, 4), (3, 4)], "categorical_cross_entropy"),
        ("log_loss", [(3, 4, 2), (3, 4, 2)], "binary_cross_entropy"),
        ("log_loss", [], "binary_cross_entropy"),
        ("hinge_loss", [(3, 2), (3,)], "crammer_singer_hinge"),
        ("hinge_loss", [(3, 2), (3, 2)], "hinge"),
        ("optax.losses.hinge_loss", [(3, 2), (3,)], "hinge"),
        ("sklearn.metrics.hinge_loss", [(3, 2), (3,)], "crammer_singer_hinge"),
        ("zero_one_loss", [(3,), (3,)], "zero_one"),
        ("zero_one_loss", [(3, 2), (3,)], "zero_one"),
        ("zero_one_loss", [(3, 2), (3, 2)], "subset_zero_one"),
    ],
)
def test_a_name_may_mean_another_loss_beside_arrays_of_other_shapes(name: str, shapes: Any, loss: str) -> None:
    assert LOSSES.find(name, shapes=shapes)[0].name == loss


def test_a_name_brings_what_its_library_sets_whatever_the_shapes() -> None:
    for shapes in ([(3,), (3,)], [(3, 2), (3,)]):
        assert LOSSES.find("sklearn.metrics.log_loss", shapes=shapes)[1] == {"clip": 2.220446049250313e-16}
        assert LOSSES.find("log_loss", shapes=shapes)[1] == {}


def test_a_flag_beside_a_name_may_lift_what_it_sets() -> None:
    """Keras clips probabilities, and not logits."""
    assert LOSSES.resolve("BinaryCrossentropy")[1] == {"clip": 1e-7}
    assert LOSSES.resolve("BinaryCrossentropy", given={"from_logits": False})[1] == {"clip": 1e-7}
    assert LOSSES.resolve("BinaryCrossentropy", given={"from_logits": True})[1] == {}


def test_the_longest_prefix_is_taken_off() -> None:
    assert unprefixed("torch.nn.functional.l1_loss") == (LIBRARIES["torch"], "l1_loss")
    assert unprefixed("F.l1_loss") == (LIBRARIES["torch"], "l1_loss")
    assert unprefixed("l1_loss") == (None, "l1_loss")
