"""Names from other libraries, and what is said to equal their calls. Whether it does, `make test-equals` tries."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.errors import UnknownName
from app.libraries import LIBRARIES, Equal, equal, unprefixed
from app.losses import LOSSES
from app.registry import Registry
from app.training import DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES

REGISTRIES: dict[str, Registry[Any]] = {
    registry.noun: registry for registry in (LOSSES, DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES)
}
EQUALS = [(registry, thing, same) for registry in REGISTRIES.values() for thing in registry.values() for same in thing.equals]
OF_LOSSES = [(thing, same) for registry, thing, same in EQUALS if registry is LOSSES]
PACKAGES = {"sklearn": "scikit-learn"}
"""Where a package is named otherwise than what is imported."""
REQUIREMENTS = Path(__file__).parent / "equals" / "requirements.txt"


# --- what is said -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("registry", "thing", "same"), EQUALS, ids=[f"{thing.name}-{same.call}" for _, thing, same in EQUALS])
def test_a_claim_is_of_a_known_library_and_sets_parameters_that_are_there(registry: Any, thing: Any, same: Equal) -> None:
    assert same.library.name in LIBRARIES
    assert same.function.startswith(f"{same.library.name}.")
    assert same.parameters.keys() <= thing.parameters.keys()
    assert not (set(same.differs_at) and not same.caveat), "why it differs is said"
    assert same.caveat == "" or same.caveat.endswith(".")


@pytest.mark.parametrize(("loss", "same"), OF_LOSSES, ids=[f"{loss.name}-{same.call}" for loss, same in OF_LOSSES])
def test_names_in_a_call_are_arrays_and_parameters(loss: Any, same: Equal) -> None:
    assert same.names <= loss.inputs.keys() | loss.parameters.keys() | {"reduction", "k", "np"}


def test_a_call_of_no_known_library_is_refused() -> None:
    with pytest.raises(StopIteration):
        _ = equal("numpy.mean(predictions - targets)").library


def test_versions_are_those_that_the_claims_are_run_with() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(), flags=re.M))
    versions = {PACKAGES.get(name, name.replace("_", "-")): library.version for name, library in LIBRARIES.items()}
    assert pinned == {name: version for name, version in versions.items() if version}


# --- an alias is a promise --------------------------------------------------------------------------------------------------

PLAIN = {"ctc_loss", "CTCLoss", "triplet_margin_loss"}
"""Names that mean without their prefix what no library has: the plain mean of ctc, and optax's triplets with PyTorch's ε."""


@pytest.mark.parametrize(("loss", "same"), OF_LOSSES, ids=[f"{loss.name}-{same.call}" for loss, same in OF_LOSSES])
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
    if name not in {*LOSSES, *PLAIN} and len({repr((other.name, claim.parameters)) for other, claim in calls}) == 1:
        known = {other.name: other for entry in LOSSES.values() for other in entry.aliases}
        assert name not in known or known[name].parameters == calls[0][1].parameters


# --- how a name may be written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name", "parameters"),
    [
        ("torch.nn.HuberLoss", "huber", {}),
        ("nn.HuberLoss", "huber", {}),
        ("torch.nn.functional.cross_entropy", "categorical_cross_entropy",
         {"from_logits": True, "class_axis": 1, "ignore_index": -100}),
        ("keras.losses.MeanSquaredError", "mean_squared_error", {}),
        ("tf.keras.losses.MeanSquaredError", "mean_squared_error", {}),
        ("sklearn.metrics.root_mean_squared_error", "root_mean_squared_error", {"multioutput": "uniform_average"}),
        ("sklearn.metrics.log_loss", "binary_cross_entropy", {"clip": 2.220446049250313e-16}),
        ("optax.l2_loss", "half_squared_error", {}),
        ("optax.losses.ctc_loss", "ctc", {"from_logits": True}),
        ("HUBERLOSS", "huber", {}),
        ("Mean-Squared Error", "mean_squared_error", {}),
        ("TORCH.NN.HUBERLOSS", "huber", {}),
    ],
)  # fmt: skip
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
    ("written", "said"),
    [
        ("torch.nn.functional.cosine_similarity", "the catalogue says when cosine_similarity equals it"),  # its negative
        ("monai.losses.FocalLoss", "binary_focal or categorical_focal"),
        ("torch.nn.HuberLos", "Did you mean HuberLoss"),
        ("torch.nn.", "There is no loss named ''"),
    ],
)
def test_what_is_no_name_or_several_is_refused(written: str, said: str) -> None:
    with pytest.raises(UnknownName) as caught:
        LOSSES.resolve(written)
    assert said in caught.value.faults[0].message


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
)  # fmt: skip
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
