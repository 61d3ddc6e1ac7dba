"""From dataset to fitted model: no held-out row leaks, refit uses all train rows, the fusion's weights stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphrec.config import make_config, parse_config
from graphrec.data import Part
from graphrec.errors import UsageError
from graphrec.models import Fused, views_of
from graphrec.training import fit_model, part_csr
from tests.worlds import small_world

WORLD = small_world()
QUICK = {"epochs": 3, "width": 8, "layers": 1, "batch_size": 128}


def edges(csr: object) -> set[tuple[int, int]]:
    return set(zip(csr.row_index().tolist(), csr.col.tolist(), strict=True))


@pytest.mark.parametrize("model", ["gat", "fused"])
def test_the_propagation_graph_holds_no_held_out_edge(model: str) -> None:
    options = QUICK | {"heads": 2}
    fitted = fit_model(WORLD, make_config(model, **options))
    held_out = [part_csr(WORLD, part) for part in (Part.SELECT, Part.BLEND, Part.TEST)]
    assert all(csr.num_edges for csr in held_out)
    for view in [fitted.model, *views_of(fitted.model).values()]:
        graph = view.graph
        nodes = edges(graph.adjacency)
        for csr in held_out:
            for user, item in edges(csr):
                assert (user, graph.num_users + item) not in nodes
                assert (graph.num_users + item, user) not in nodes


def test_refit_trains_on_all_train_rows_for_the_chosen_epochs() -> None:
    fitted = fit_model(WORLD, make_config("lightgcn", refit=True, **QUICK))
    user, item = WORLD.interactions.select(Part.FIT, Part.SELECT, Part.BLEND)
    assert edges(fitted.model.graph.seen) == set(zip(user.tolist(), item.tolist(), strict=True))
    refit = fitted.history[fitted.history.phase == "refit"]
    assert len(refit) == fitted.epochs["lightgcn"]
    assert refit.metric.isna().all()
    assert fitted.valid


def test_refit_with_fixed_epochs_trains_once() -> None:
    fitted = fit_model(WORLD, make_config("lightgcn", refit=True, patience=0, **QUICK))
    assert fitted.history.phase.tolist() == ["refit"] * 3


def test_test_rows_are_not_read() -> None:
    """Moving every test row elsewhere changes nothing in what is trained."""
    other = small_world()
    test = other.interactions.part == Part.TEST
    other.interactions.item[test] = np.roll(other.interactions.item[test], 1)
    first, second = (fit_model(world, make_config("gat", heads=2, **QUICK)) for world in (WORLD, other))
    for one, two in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_view_that_trains_nothing_has_no_epochs() -> None:
    fitted = fit_model(WORLD, make_config("popularity", refit=True, patience=0, epochs=3))
    assert fitted.epochs == {}
    assert fitted.history.empty


def test_the_fusion_keeps_its_weights_when_refitted() -> None:
    plain = fit_model(WORLD, make_config("fused", heads=2, **QUICK))
    refitted = fit_model(WORLD, make_config("fused", heads=2, refit=True, **QUICK))
    assert isinstance(plain.model, Fused) and isinstance(refitted.model, Fused)
    own = {name for name, _ in plain.model.named_parameters() if not name.startswith("views")}
    state, again = plain.model.state_dict(), refitted.model.state_dict()
    assert own and all(torch.equal(state[name], again[name]) for name in own)
    assert refitted.fusion == plain.fusion


def test_no_gpu_is_said() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="device cuda is not available"):
        fit_model(WORLD, make_config("gat", device="cuda"))


def test_a_model_can_be_there_several_times_with_other_settings() -> None:
    values = {
        "model": "fused",
        "training": {"epochs": 2, "batch_size": 128},
        "models": {
            "fused": {"views": ["lightgcn", "lightgcn-wide", "popularity"]},
            "lightgcn": {"width": 8},
            "lightgcn-wide": {"width": 16},
        },
    }
    fitted = fit_model(WORLD, parse_config(values))
    assert {name: view.settings.width for name, view in views_of(fitted.model).items() if name != "popularity"} == {
        "lightgcn": 8,
        "lightgcn-wide": 16,
    }
    assert fitted.history.model.unique().tolist() == ["lightgcn", "lightgcn-wide"]
    assert set(fitted.epochs) == {"lightgcn", "lightgcn-wide"}


def test_a_label_changes_the_draws_and_no_label_leaves_them() -> None:
    alone = fit_model(WORLD, make_config("lightgcn", **QUICK)).model
    views = ("lightgcn", "lightgcn-b", "lightgcn-c")
    fused = views_of(fit_model(WORLD, make_config("fused", views=views, **QUICK)).model)
    tables = [view.table for view in fused.values()]
    assert torch.equal(tables[0], alone.table)
    assert not torch.equal(tables[0], tables[1]) and not torch.equal(tables[1], tables[2])


def test_a_model_by_itself_has_no_label() -> None:
    with pytest.raises(UsageError, match="has a label"):
        make_config("lightgcn-b")
    with pytest.raises(UsageError, match="distinct"):
        make_config("fused", views=("lightgcn", "fused-again"))
    with pytest.raises(UsageError, match="letters"):
        make_config("fused", views=("lightgcn-a b",))
