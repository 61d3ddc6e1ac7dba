"""Every model keeps the contract, and every check notices a model that does not."""

from __future__ import annotations

import pytest

from graphrec.errors import UnknownNameError
from graphrec.models import MODELS, TrainedModel
from graphrec.testing import check_recommender
from graphrec.testing.contract import CHECKS
from graphrec.testing.subject import Subject
from tests.testing import surroundings, toys

UNTRAINED = {"another_seed_another_result", "its_loss", "a_step_alone", "it_learns", "stopped_and_resumed"}
OF_LIKENESS = {"likeness_of_items", "an_item_is_most_like_itself", "likeness_of_an_item_alone", "like_items"}
OF_SOME = {"a_gpu_agrees", "vectors_give_the_scores"}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_keeps_the_contract(name: str) -> None:
    checked = check_recommender(name)
    silent = {line.name for line in checked if line.not_applicable} - OF_SOME
    if name == "fused":
        expected = {"its_loss", "a_step_alone", "rows_for_fusing_do_not_matter", "float64_agrees", "as_a_view"}
        expected |= {"another_seed_another_result", "names_of_another_order"}
    elif issubclass(MODELS[name], TrainedModel):
        expected = {"names_of_another_order"}
    else:
        expected = UNTRAINED | {"in_scoring_mode"}
        expected |= OF_LIKENESS | {"as_a_view"} if name == "popularity" else set()
    assert silent == expected
    assert len(checked) == len(CHECKS) >= 40 and not any(line.broken for line in checked)


def test_the_toy_keeps_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """So what a check notices below is the fault alone."""
    monkeypatch.setitem(MODELS, "toy", toys.Toy)
    check_recommender("toy")


def test_every_check_has_a_fault() -> None:
    assert surroundings.FAULTS.keys() == CHECKS.keys() - {"a_gpu_agrees"}


@pytest.mark.parametrize(
    ("name", "options"), [("item_knn", {}), ("spectral", {}), ("gat", {}), ("history", {"pooling": "mean"})]
)
def test_models_in_which_newer_items_count_more_keep_it_too(name: str, options: dict[str, str]) -> None:
    check_recommender(name, recency=1.0, **options)


@pytest.mark.parametrize("check", surroundings.FAULTS)
def test_a_check_notices(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings.register(surroundings.FAULTS[check], monkeypatch)
    with pytest.raises(Exception) as caught:  # as check_recommender does, a check takes any exception for a finding
        CHECKS[check](Subject("toy"))
    assert "NotApplicable" not in type(caught.value).__name__


def test_all_that_is_broken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings.register(toys.Double, monkeypatch)
    with pytest.raises(AssertionError, match=r"model toy breaks \d+ of \d+ checks\n") as caught:
        check_recommender("toy")
    said = str(caught.value)
    assert "- scores_of_a_block: The scores of B users are finite, float32" in said
    assert "AssertionError: got torch.float64 (scoring.py, line " in said
    assert "its_loss" not in said


def test_options_are_those_of_training() -> None:
    with pytest.raises(AssertionError, match="unknown"):
        check_recommender("popularity", colour="red")


def test_an_unknown_model() -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'popularty'\ndid you mean popularity"):
        check_recommender("popularty")
