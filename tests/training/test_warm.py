"""Starting from an earlier model on newer data: by id, whatever the numbers are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

import graphrec
from graphrec.config import make_config
from graphrec.data import Dataset, Part, read_dataset, synthetic
from graphrec.errors import RunError, UsageError
from graphrec.graph import build_graph
from graphrec.models import Fused, views_of
from graphrec.runs import start_of
from graphrec.sampling import ALL
from graphrec.training import TRAIN_PARTS, Start, extend_model, extending, fit_model
from graphrec.training.warm import known_nodes

TABLES = synthetic.generate(seed=3, num_users=60, num_items=40)
TEST = TABLES.interactions[["user_id", "item_id"]].iloc[:5]
QUICK = {"refit": True, "epochs": 3, "width": 8, "layers": 1, "batch_size": 128}


def world(more: dict[str, list[str]] | None = None, knowledge: dict[str, list[str]] | None = None) -> Dataset:
    """The small world, with more rows of interactions and knowledge."""
    rows = TABLES.interactions[["user_id", "item_id"]].iloc[5:]
    facts = TABLES.knowledge
    if more:
        rows = pd.concat([rows, pd.DataFrame(more)])
    if knowledge:
        facts = pd.concat([facts, pd.DataFrame(knowledge)])
    # test rows that are given keep everybody's train rows as they are when others come
    return read_dataset(rows, test=TEST, knowledge=facts, items=TABLES.items, seed=3)


EARLIER = world()
# "0 first" stands before all other users and items, so that every number moves
LATER = world(
    {"user_id": ["0 first"] * 3, "item_id": [*EARLIER.items.names([0, 1]), "0 first"]},
    {"head": ["0 first"], "relation": ["a_new_one"], "tail": ["0 entity"]},
)


def start(model: str, **settings: float) -> Start:
    options = QUICK | ({} if model == "lightgcn" else {"heads": 2}) | settings
    return Start(EARLIER, fit_model(EARLIER, make_config(model, **options)).model)


def test_nodes_are_known_by_their_ids() -> None:
    now, before = known_nodes(LATER, EARLIER)
    assert len(now) == EARLIER.num_nodes
    assert [LATER.node_id(node) for node in now.tolist()] == [EARLIER.node_id(node) for node in before.tolist()]
    assert now[0] == 1 and before[0] == 0


@pytest.mark.parametrize("model", ["lightgcn", "gat", "fused"])
def test_extending_keeps_what_was_learned_and_embeds_newcomers(model: str) -> None:
    earlier = start(model)
    later = extend_model(LATER, make_config(model, **QUICK | ({} if model == "lightgcn" else {"heads": 2})), earlier)
    users = torch.from_numpy(LATER.users.lookup(EARLIER.users.array)).long()
    for name, view in views_of(later).items():
        if hasattr(view, "table"):
            old = earlier.view(name)
            assert torch.equal(view.table[users], old.table[: EARLIER.num_users])
            assert not view.table[0].any() and view.user_vectors()[0].any()  # nothing learned, yet it has a vector
    if isinstance(later, Fused):
        assert torch.equal(later.attention, earlier.model.attention)
    assert torch.isfinite(later.score_block(torch.arange(LATER.num_users))).all()


def test_without_layers_a_newcomer_starts_at_the_mean_of_what_it_used() -> None:
    options = QUICK | {"layers": 0}
    earlier = Start(EARLIER, fit_model(EARLIER, make_config("lightgcn", **options)).model)
    later = extend_model(LATER, make_config("lightgcn", **options), earlier)
    used = LATER.items.lookup(EARLIER.items.names([0, 1]))
    items = later.item_vectors()[torch.from_numpy(used).long()]
    assert torch.allclose(later.user_vectors()[0], items.sum(0) / 3, atol=1e-6)  # of its three items one is new too
    with pytest.raises(UsageError, match="lightgcn with 0 layers has no neighbours to sample"):
        extend_model(LATER, make_config("lightgcn", **options), earlier, (4,))


@pytest.mark.parametrize("fanout", [None, (4,), {"interacts": (4,), "knowledge": (2,)}])
def test_nothing_new_changes_nothing(fanout: object) -> None:
    earlier = start("gat")
    again = extend_model(world(), make_config("gat", heads=2, **QUICK), earlier, fanout)
    users = torch.arange(EARLIER.num_users)
    assert torch.equal(again.score_block(users), earlier.model.score_block(users))


def test_relations_are_known_by_their_names() -> None:
    earlier = start("gat")
    later = extend_model(LATER, make_config("gat", heads=2, **QUICK), earlier)
    old, new = earlier.model.attention[0].relation_bias, later.attention[0].relation_bias
    assert old.abs().sum() > 0
    for number, name in enumerate(later.graph.relations):
        if name.endswith("a_new_one"):
            assert not new[number].any()
        else:
            assert torch.equal(new[number], old[earlier.model.graph.relations.index(name)])


def test_weights_of_facts_are_known_by_the_names_of_their_relations() -> None:
    """Only where both runs learn facts; a relation that is new starts at ones, as in any run."""
    options = QUICK | {"heads": 2}
    earlier = start("gat", knowledge_weight=0.1)
    old, known = earlier.model.fact_weight, earlier.model.graph.relations[::2]
    assert not torch.equal(old, torch.ones_like(old))
    later = extend_model(LATER, make_config("gat", **options, knowledge_weight=0.1), earlier)
    names = later.graph.relations[::2]
    assert set(names) == {*known, "a_new_one"} and names[: len(known)] != known
    for name, weight in zip(names, later.fact_weight, strict=True):
        assert torch.equal(weight, old[known.index(name)] if name in known else torch.ones_like(weight))
    anew = extend_model(LATER, make_config("gat", **options, knowledge_weight=0.1), start("gat"))
    assert torch.equal(anew.fact_weight, torch.ones_like(anew.fact_weight))


def test_training_goes_on_from_there(tmp_path: Path) -> None:
    graphrec.train(EARLIER, "lightgcn", **QUICK | {"epochs": 12, "learning_rate": 0.05}).save(tmp_path / "run")
    warm = make_config("lightgcn", warm_start=str(tmp_path / "run"), **QUICK)
    losses = [fit_model(LATER, config, start=start_of(config)).history["loss"] for config in
              (make_config("lightgcn", **QUICK), warm)]  # fmt: skip
    assert losses[1].iloc[0] < losses[0].iloc[0]


def test_what_cannot_be_started_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder at"):
        start_of(make_config("lightgcn", warm_start=str(tmp_path / "absent")))
    with pytest.raises(UsageError, match="width of lightgcn is 16, and 8 in the run to start from\nask for --width 8"):
        start("lightgcn").check(make_config("lightgcn", **QUICK | {"width": 16}).models)
    with pytest.raises(UsageError, match="has no view gat\nit has lightgcn"):
        start("lightgcn").check(make_config("gat", heads=2, **QUICK).models)


@pytest.mark.parametrize("model", ["lightgcn", "gat"])
def test_newcomers_can_be_embedded_from_samples_alone(model: str) -> None:
    """With all neighbours a newcomer has the vector that all edges give; who has no new edge keeps its own."""
    earlier = start(model)
    config = make_config(model, **QUICK | ({} if model == "lightgcn" else {"heads": 2}))
    whole, sampled = extend_model(LATER, config, earlier), extend_model(LATER, config, earlier, (ALL,))
    assert torch.allclose(sampled.user_vectors()[0], whole.user_vectors()[0], atol=1e-6)
    assert torch.allclose(sampled.item_vectors()[0], whole.item_vectors()[0], atol=1e-6)
    untouched = [name for name in EARLIER.users.array.to_pylist() if edges_of(LATER, name) == edges_of(EARLIER, name)]
    now, before = (torch.from_numpy(data.users.lookup(untouched)).long() for data in (LATER, EARLIER))
    assert len(untouched) > 10
    assert torch.equal(sampled.user_vectors()[now], earlier.view(model).user_vectors()[before])


def edges_of(data: Dataset, user: str) -> set[str]:
    """The items of a user in the train rows."""
    users, items = data.interactions.select(*TRAIN_PARTS)
    return set(data.items.names(items[users == data.users.lookup([user])[0]]))


def test_edges_that_are_gone_or_of_another_kind_are_noticed() -> None:
    """User 2 is gone, so its items 1 and 2 have lost an edge; the fact of item 0 is of another relation now."""
    before, after = {"a": "xy", "b": "yx", "c": "yz"}, {"a": "xy", "b": "yx", "d": "x"}
    data = [
        read_dataset(
            pd.DataFrame(
                [(user, item) for user, items in rows.items() for item in items], columns=["user_id", "item_id"]
            ),
            knowledge=pd.DataFrame({"head": ["x", "z"], "relation": [relation, "about"], "tail": ["e", "e"]}),
            items=pd.DataFrame({"item_id": list("xyz")}),
            test=pd.DataFrame({"user_id": ["a"], "item_id": ["z"]}),
        )
        for rows, relation in ((before, "genre"), (after, "about"))
    ]
    earlier, later = (build_graph(one) for one in data)
    changed = extending._with_other_edges(later, earlier, known_nodes(data[1], data[0]))
    names = [data[1].node_id(node)[1] for node in changed.nonzero()[:, 0].tolist()]
    assert names == ["d", "x", "y", "z", "e"]  # a and b have the items they had
    same = extending._with_other_edges(earlier, earlier, known_nodes(data[0], data[0]))
    assert not same.any()


def test_rows_that_the_earlier_model_was_trained_on_are_counted() -> None:
    model = start("lightgcn").model
    assert Start(EARLIER, model).known_rows(EARLIER) == {"select": 0, "blend": 0, "test": 0}
    rows = {part: int((EARLIER.interactions.part == part).sum()) for part in (Part.SELECT, Part.BLEND)}
    known = Start(EARLIER, model, TRAIN_PARTS).known_rows(EARLIER)
    assert known == {"select": rows[Part.SELECT], "blend": rows[Part.BLEND], "test": 0} and all(rows.values())
