"""segment_sum and segment_softmax."""

from __future__ import annotations

import math

import pytest
import torch

from graphrec.errors import UsageError
from graphrec.sparse import segment_softmax, segment_sum
from tests.sparse.graphs import assert_close, five_nodes, generator, random_graph


def test_five_nodes_by_hand() -> None:
    csr = five_nodes()  # rows of 2, 1, 0, 3 and 0 edges
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert segment_sum(csr, x).tolist() == [3, 3, 0, 15, 0]
    softmax = segment_softmax(csr, x[:, None].log())
    assert_close(softmax[:, 0], torch.tensor([1 / 3, 2 / 3, 1, 4 / 15, 5 / 15, 6 / 15]))


def test_agree_with_each_row_by_itself() -> None:
    csr = random_graph(30, 20, 400)
    score = torch.randn(400, 3, generator=generator()) * 30
    ours, summed = segment_softmax(csr, score), segment_sum(csr, score)
    for row in range(30):
        edges = slice(int(csr.rowptr[row]), int(csr.rowptr[row + 1]))
        assert_close(ours[edges], score[edges].softmax(dim=0))
        assert_close(summed[row], score[edges].sum(dim=0))


def test_gradcheck() -> None:
    csr = random_graph(5, 6, 15)
    score = torch.randn(15, 2, generator=generator(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda score: segment_softmax(csr, score), score)
    assert torch.autograd.gradcheck(lambda score: segment_sum(csr, score), score)


def test_no_edges() -> None:
    csr = random_graph(3, 3, 0)
    assert segment_sum(csr, torch.ones(0, 2, 2)).tolist() == torch.zeros(3, 2, 2).tolist()
    assert segment_softmax(csr, torch.ones(0, 2)).shape == (0, 2)


def test_large_scores_do_not_overflow() -> None:
    softmax = segment_softmax(five_nodes(), torch.tensor([1e4, -1e4, 1e4, 0.0, 0.0, -math.inf])[:, None])
    assert softmax.flatten().tolist() == [1, 0, 1, 0.5, 0.5, 0]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"x must have shape \[6, \*\], got \[5, 1\]"):
        segment_sum(five_nodes(), torch.ones(5, 1))
    with pytest.raises(UsageError, match=r"score must have shape \[6, \*\], got \[6\]"):
        segment_softmax(five_nodes(), torch.ones(6))
