"""The report made from a data set's columns is the report of its graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from graphrec.data import Part
from graphrec.errors import DataError
from graphrec.graph import build_graph, dataset_report, graph_report, report
from tests.graph.test_build import dataset, small


@pytest.fixture(autouse=True)
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_threes(*columns: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        return whole(*columns, rows=3)

    whole = report.blocks
    monkeypatch.setattr(report, "blocks", in_threes)


def test_by_hand() -> None:
    assert dataset_report(small())["edges"] == {"interacts": 2, "genre": 2, "about": 2}
    assert dataset_report(small()) == graph_report(build_graph(small()))


@pytest.mark.parametrize("seed", range(10))
def test_at_random(seed: int) -> None:
    draw = np.random.default_rng(seed)
    pairs = set(zip(*draw.integers(0, (3, 4), (8, 2)).T.tolist(), strict=True))
    rows = [(user, item, Part(int(draw.integers(0, 4)))) for user, item in pairs]
    triples = np.stack([draw.integers(0, 10, 5), draw.integers(0, 2, 5), draw.integers(0, 10, 5)]).T
    data = dataset(rows, triples.tolist(), ("genre", "about"))
    assert dataset_report(data) == graph_report(build_graph(data))


def test_of_few_rows() -> None:
    for rows in ([], [(0, 0, Part.TEST)], [(2, 3, Part.FIT)]):
        data = dataset(rows, [], ())
        assert dataset_report(data) == graph_report(build_graph(data))


def test_of_a_relation_with_a_taken_name() -> None:
    with pytest.raises(DataError, match="got twice: interacts"):
        dataset_report(dataset([(0, 0, Part.FIT)], [(3, 0, 7)], ("interacts",)))
