"""Popularity: counts, the same for everyone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from graphrec.errors import UsageError
from graphrec.models import Popularity
from graphrec.models.recency import RecencySettings
from tests.worlds import hand_graph, pairs


def fitted() -> Popularity:
    model = Popularity(hand_graph(), RecencySettings())
    model.fit()
    return model


def test_scores_by_hand() -> None:
    """One user used item 0, two used item 1, none item 2; knowledge edges are not interactions."""
    scores = fitted().score_block(torch.tensor([1, 0]))
    assert torch.allclose(scores, torch.tensor([math.log(2), math.log(3), 0.0]).expand(2, 3))


def test_users_for_whom_it_is_old_count_less() -> None:
    """Item 0 is the older of its user's two, item 1 is that user's newer and another's only one."""
    graph = hand_graph()
    model = Popularity(replace(graph, times=torch.tensor([10, 20, 5])), RecencySettings(recency=2.0))
    model.fit()
    scores = model.score_block(torch.tensor([1]))[0]
    assert torch.allclose(scores, torch.tensor([math.log(1 + 2**-2.0), math.log(3), 0.0]))


def test_it_needs_times_only_to_tell_old_from_new() -> None:
    told = Popularity.obstacle(hand_graph(), RecencySettings(recency=1.0))
    assert told == "recency needs timestamps, and the data has none"
    assert Popularity.obstacle(hand_graph(), RecencySettings()) is None


def test_a_newcomer_gets_the_same() -> None:
    model = fitted()
    newcomers = model.fold_in(pairs([(1, 2)], 3, 3))
    assert torch.equal(newcomers, model.score_block(torch.tensor([0, 0, 0])))


def test_rows_may_be_written_to() -> None:
    model = fitted()
    model.score_block(torch.tensor([0, 1]))[0] = 9.0
    assert model.score_block(torch.tensor([0])).max() == pytest.approx(math.log(3))


def test_it_knows_no_likeness() -> None:
    with pytest.raises(UsageError, match="no likeness"):
        fitted().similarity_block(torch.tensor([0]))


def test_state_round_trip() -> None:
    model, twin = fitted(), Popularity(hand_graph(), RecencySettings())
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin.score_block(torch.tensor([0])), model.score_block(torch.tensor([0])))
