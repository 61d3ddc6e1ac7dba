"""attend and edge_attention: by hand, against the definition and PyG's layers, dropout, gradients, errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GATv2Conv

from graphrec.errors import UsageError
from graphrec.sparse import CSR, attend, edge_attention
from graphrec.sparse.cpu import shapes
from tests.sparse.graphs import BACKENDS, assert_close, attention_inputs, five_nodes, generator, random_graph

SCORES = ["dot", "additive", "v2"]


def with_gradients(csr: CSR, inputs: dict[str, Any], **options: Any) -> list[Tensor]:
    """out, lse, and the gradients of a fixed function of both."""
    out, lse = attend(csr, **inputs, **options)
    finite = lse.isfinite()
    signs = torch.arange(out.numel(), dtype=out.dtype).cos().view_as(out)
    loss = (out * signs).sum() + (lse[finite] * signs[:, :, 0][finite]).sum()
    return [out, lse, *torch.autograd.grad(loss, list(inputs.values()))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_five_nodes_by_hand(backend: str) -> None:
    csr = five_nodes()  # row 0 receives from 1 (type 0) and 2 (type 1), row 1 from 0, row 3 from 3 twice and 0
    query = torch.tensor([[[2.0]], [[1.0]], [[1.0]], [[0.0]], [[1.0]]])
    key = torch.tensor([[[1.0]], [[0.5]], [[-1.0]], [[3.0]], [[0.0]]])
    value = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[5.0, 5.0]], [[7.0, 0.0]], [[9.0, 9.0]]])
    out, lse = attend(csr, query, key, value, relation_bias=torch.tensor([[0.0], [0.25]]), backend=backend)
    a, b = math.exp(2 * 0.5), math.exp(2 * -1 + 0.25)
    twice, once = 2 * math.exp(0), math.exp(0.25)
    expected = [
        [5 * b / (a + b), (a + 5 * b) / (a + b)],
        [1, 0],
        [0, 0],
        [(7 * twice + 1 * once) / (twice + once), 0],
        [0, 0],
    ]
    assert_close(out[:, 0], torch.tensor(expected))
    assert_close(lse[:, 0], torch.tensor([math.log(a + b), 1.0, -math.inf, math.log(twice + once), -math.inf]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("score", "edge_logit"),
    [
        ("additive", lambda z: max(2 * z[0] + 3 * z[1], 0.2 * (2 * z[0] + 3 * z[1]))),
        ("v2", lambda z: 2 * max(z[0], 0.2 * z[0]) + 3 * max(z[1], 0.2 * z[1])),
    ],
)
def test_leaky_scores_by_hand(backend: str, score: str, edge_logit: Any) -> None:
    csr = CSR.from_pairs(torch.tensor([0]), torch.tensor([0]), 1, 1, edge_type=torch.tensor([0]))
    terms = {"vector": torch.tensor([[2.0, 3.0]]), "relation_key": torch.tensor([[[0.5, 0.0]]])}
    query, key = torch.tensor([[[1.0, -4.0]]]), torch.tensor([[[2.0, 1.0]]])
    _, lse = attend(csr, query, key, key, score=score, **terms, backend=backend)
    assert_close(lse, torch.tensor([[edge_logit((1 + 2 + 0.5, -4 + 1))]]))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_the_definition(backend: str, dtype: torch.dtype, score: str, dropout: float) -> None:
    csr = random_graph(60, 50, 1500)  # the hub's 500 edges fill several chunks
    for heads, score_width, width in ((1, 1, 1), (3, 16, 7), (1, 64, 100), (4, 3, 64)):
        inputs = attention_inputs(
            csr, heads=heads, score_width=score_width, width=width, score=score, dtype=dtype, seed=width
        )
        options = {"score": score, "dropout": dropout, "seed": 2**40 + 7}
        ours = with_gradients(csr, inputs, **options, backend=backend)
        expected = with_gradients(csr, inputs, **options, backend="reference")
        for mine, theirs in zip(ours, expected, strict=True):
            assert_close(mine, theirs)


@pytest.mark.parametrize("score", SCORES)
def test_kernels_for_one_shape_agree(score: str, monkeypatch: pytest.MonkeyPatch) -> None:
    csr = random_graph(40, 50, 600)
    inputs = attention_inputs(csr, heads=2, score_width=8, width=8, score=score, dtype=torch.float32)
    expected = with_gradients(csr, inputs, score=score, dropout=0.2, backend="cpu")
    monkeypatch.setattr(shapes, "LARGE", 1)
    for mine, theirs in zip(with_gradients(csr, inputs, score=score, dropout=0.2), expected, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("score", ["dot", "v2"])
def test_more_relations_than_the_graph_has(score: str) -> None:
    csr = random_graph(1000, 800, 20_000)  # several blocks, each with sums of its own
    inputs = attention_inputs(csr, score=score)
    inputs["relation_key"] = torch.randn(5, 2, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    inputs["relation_bias"] = torch.randn(9, 2, generator=generator(), dtype=torch.float64, requires_grad=True)
    ours, expected = (with_gradients(csr, inputs, score=score, backend=name) for name in ("cpu", "reference"))
    for mine, theirs in zip(ours, expected, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("given", [(), ("bias",), ("relation_key",), ("relation_bias",)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_terms_are_optional(backend: str, given: tuple[str, ...]) -> None:
    csr = random_graph(30, 40, 300)
    inputs = attention_inputs(csr)
    inputs = {name: inputs[name] for name in ("query", "key", "value", *given)}
    for graph in (csr, CSR(csr.rowptr, csr.col, csr.num_cols))[: 2 if given in ((), ("bias",)) else 1]:
        ours, expected = (with_gradients(graph, inputs, backend=name) for name in (backend, "reference"))
        for mine, theirs in zip(ours, expected, strict=True):
            assert_close(mine, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("num_rows", "num_cols", "num_edges"), [(1, 1, 0), (1, 1, 2), (0, 3, 0), (3, 2, 0), (1, 5, 700)]
)
def test_odd_graphs(backend: str, num_rows: int, num_cols: int, num_edges: int) -> None:
    csr = random_graph(num_rows, num_cols, num_edges, num_types=1)
    inputs = attention_inputs(csr, relations=num_edges > 0)
    ours, expected = (with_gradients(csr, inputs, backend=name) for name in (backend, "reference"))
    for mine, theirs in zip(ours, expected, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("layer", "score"), [(GATConv, "additive"), (GATv2Conv, "v2")])
def test_pyg_layers_through_attend(backend: str, layer: Any, score: str) -> None:
    source = generator()
    edge_index = torch.randint(40, (2, 400), generator=source).unique(dim=1)
    csr = CSR.from_pairs(edge_index[1], edge_index[0], 40, 40)
    conv = layer(12, 8, heads=3, add_self_loops=False).double()
    for parameter in conv.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=source))
    x = torch.randn(40, 12, generator=source, dtype=torch.float64, requires_grad=True)
    if score == "additive":
        sent = received = (x @ conv.lin.weight.T).view(40, 3, 8)
        # ⟨a_dst, q⟩ + ⟨a_src, k⟩ is ⟨1, ·⟩ of the products
        query, key, vector = received * conv.att_dst, sent * conv.att_src, torch.ones(3, 8, dtype=torch.float64)
    else:
        sent = key = (x @ conv.lin_l.weight.T + conv.lin_l.bias).view(40, 3, 8)
        query, vector = (x @ conv.lin_r.weight.T + conv.lin_r.bias).view(40, 3, 8), conv.att[0]
    out, lse = attend(csr, query, key, sent, score=score, vector=vector, backend=backend)
    theirs, (places, weights) = conv(x, edge_index, return_attention_weights=True)
    assert_close(out.flatten(1) + conv.bias, theirs)

    g = torch.randn(theirs.shape, generator=source, dtype=torch.float64)
    parameters = [x, *conv.parameters()]
    ours, expected = (torch.autograd.grad(y, parameters, g) for y in (out.flatten(1) + conv.bias, theirs))
    for mine, other in zip(ours, expected, strict=True):
        assert_close(mine, other)

    chosen = edge_attention(csr, query, key, score=score, vector=vector, lse=lse, edges=torch.arange(csr.num_edges))
    order = CSR.from_pairs(places[1], places[0], 40, 40, value=torch.arange(places.shape[1]).float())
    assert_close(chosen, weights[order.value.long()])


@pytest.mark.parametrize("score", SCORES)
def test_edge_attention_gives_the_weights(score: str) -> None:
    csr = random_graph(30, 40, 300)
    inputs = attention_inputs(csr, score=score, width=40)
    inputs["value"] = torch.eye(40, dtype=torch.float64)[:, None].expand(40, 2, 40)  # out is the weights by sender
    out, lse = attend(csr, **inputs, score=score)
    del inputs["value"]
    edges = torch.randperm(300, generator=generator())
    weights = edge_attention(csr, **inputs, score=score, lse=lse, edges=edges)
    row, col = csr.row_index()[edges], csr.col[edges].long()
    summed = torch.zeros_like(out).index_put((row[:, None], torch.arange(2), col[:, None]), weights, accumulate=True)
    assert_close(summed, out)


def test_a_weight_is_at_most_one_where_large_logits_round() -> None:
    """Near 1e9 a float32 has steps of 64, and a log-sum-exp that is one step low would make e^64 of a weight."""
    csr = CSR.from_pairs(torch.tensor([0]), torch.tensor([0]), 1, 1)
    large, low = torch.full((1, 1, 1), 1e9), torch.full((1, 1), 1e9 - 64)
    one = torch.ones(1, 1, 1)
    assert edge_attention(csr, one, large, lse=low, edges=torch.tensor([0])).item() == 1


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_large_logits_leave_gradients_bounded(backend: str, score: str) -> None:
    """The backward pass sums logits in another order. What a sender gets back is at most what its receivers have."""
    csr = random_graph(30, 40, 300)
    inputs = attention_inputs(csr, score=score, score_width=16, dtype=torch.float32)
    inputs |= {name: (inputs[name].detach() * 1e5).requires_grad_() for name in ("query", "key")}
    out, _ = attend(csr, **inputs, score=score, backend=backend)
    gradients = torch.autograd.grad(out.sum(), list(inputs.values()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    by_sender = dict(zip(inputs, gradients, strict=True))["value"]
    received = torch.bincount(csr.col, minlength=40).clamp(min=1)
    assert (by_sender.abs() <= received[:, None, None] * (1 + 1e-5)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_leaves_out_the_right_share(backend: str) -> None:
    csr = CSR.from_pairs(torch.zeros(20_000, dtype=torch.int64), torch.arange(20_000), 1, 20_000)
    query, key = torch.zeros(1, 4, 1), torch.zeros(20_000, 4, 1)
    value = torch.full((20_000, 4, 1), 20_000.0, requires_grad=True)
    kept = {}
    for seed in (1, 2):
        out, _ = attend(csr, query, key, value, dropout=0.3, seed=seed, backend=backend)
        (gradient,) = torch.autograd.grad(out.sum(), value)
        kept[seed] = gradient[:, :, 0] != 0
        # 80,000 draws: a standard deviation of 0.0016
        assert abs(kept[seed].double().mean() - 0.7) < 0.008
        torch.testing.assert_close(gradient[:, :, 0] * 20_000, kept[seed] / 0.7, rtol=1e-4, atol=0)  # mask of forward
        torch.testing.assert_close(out[0, :, 0], kept[seed].float().sum(0) / 0.7, rtol=1e-4, atol=0)
    both = (kept[1] & kept[2]).double().mean()
    assert abs(both - 0.49) < 0.01  # another seed, another mask
    heads = (kept[1][:, 0] & kept[1][:, 1]).double().mean()
    assert abs(heads - 0.49) < 0.02  # heads drop by themselves


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_masked_relation_has_no_weight(backend: str) -> None:
    csr = five_nodes()
    inputs = {name: x.detach() for name, x in attention_inputs(csr, relations=False).items()}
    masked = torch.tensor([[-math.inf] * 2, [0.0] * 2], dtype=torch.float64)
    out, _ = attend(csr, **inputs, relation_bias=masked, backend=backend)
    assert_close(out[0], inputs["value"][2])  # of row 0's two edges, only the one of type 1 counts
    assert_close(out[3], inputs["value"][0])


@pytest.mark.parametrize("size", [1e3, 1e6, 1e30])
def test_large_logits_do_not_overflow(size: float) -> None:
    csr = random_graph(20, 20, 200)
    inputs = {name: x.float().detach() for name, x in attention_inputs(csr).items()}
    inputs["query"] = inputs["query"] * size
    out, lse = attend(csr, **inputs)
    assert out.isfinite().all()
    torch.testing.assert_close(lse, attend(csr, **inputs, backend="reference")[1], rtol=1e-5, atol=1e-3)


def test_not_a_number_passes_through() -> None:
    csr = five_nodes()
    inputs = attention_inputs(csr, relations=False)
    inputs["key"] = inputs["key"].detach().index_fill(0, torch.tensor([1]), math.nan).requires_grad_()
    out, lse = attend(csr, **inputs)
    assert out[0].isnan().all() and lse[0].isnan().all()
    assert not out[1:].isnan().any()
    assert torch.autograd.grad(out.sum(), inputs["query"])[0][0].isnan().all()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("relations", [True, False])
@pytest.mark.parametrize("score", SCORES)
def test_gradcheck(score: str, relations: bool, dropout: float) -> None:
    csr = random_graph(4, 5, 14, num_types=2)
    inputs = attention_inputs(csr, score=score, relations=relations)

    def function(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        out, lse = attend(csr, **dict(zip(inputs, tensors, strict=True)), score=score, dropout=dropout, seed=3)
        return out, lse[lse.isfinite()]

    assert torch.autograd.gradcheck(function, tuple(inputs.values()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "v3"}, "unknown score 'v3'"),
        ({"score": "additive"}, "needs a vector"),
        ({"vector": torch.ones(2, 4).double()}, "takes no vector"),
        ({"query": torch.ones(4, 2, 4).double()}, r"query must have shape \[5, \*, \*\]"),
        ({"key": torch.ones(5, 2, 3).double()}, r"key must have shape \[5, 2, 4\]"),
        ({"value": torch.ones(5, 1, 3).double()}, r"value must have shape \[5, 2, \*\]"),
        ({"bias": torch.ones(5, 1).double()}, r"bias must have shape \[5, 2\]"),
        ({"relation_bias": torch.ones(1, 2).double()}, "relation_bias has 1 relations, the graph 2"),
        ({"key": torch.ones(5, 2, 4)}, "one float type is needed"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\)"),
        ({"backend": "cuda"}, "cuda backend"),
        ({"backend": "refrence"}, "did you mean reference"),
    ],
)
def test_wrong_calls_are_refused(change: dict[str, Any], message: str) -> None:
    csr = five_nodes()
    inputs = attention_inputs(csr)
    attend(csr, **inputs)
    with pytest.raises(UsageError, match=message):
        attend(csr, **(inputs | change))


def test_relations_need_edge_types() -> None:
    csr = five_nodes()
    untyped = CSR(csr.rowptr, csr.col, csr.num_cols)
    with pytest.raises(UsageError, match="needs a graph with edge types"):
        attend(untyped, **attention_inputs(csr))


def test_edge_numbers_out_of_range_are_refused() -> None:
    csr = five_nodes()
    inputs = attention_inputs(csr)
    del inputs["value"]
    with pytest.raises(UsageError, match=r"edges must lie in \[0, 6\)"):
        edge_attention(csr, **inputs, lse=torch.zeros(5, 2).double(), edges=torch.tensor([6]))
