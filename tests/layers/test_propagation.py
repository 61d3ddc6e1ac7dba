"""LightGCN's propagation and the attention layer, by hand and against PyG."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize
from torch_geometric.nn import LGConv

from graphrec.errors import UsageError
from graphrec.graph import build_graph
from graphrec.layers import GATLayer, drop_pairs, layer_sum, propagate_mean, propagate_mean_to, propagate_noisy
from graphrec.sampling import generator_for
from graphrec.sparse import CSR, segment_sum, spmm, symmetric_normalize
from tests.worlds import hand_graph, small_world


def test_propagation_by_hand() -> None:
    normalized = symmetric_normalize(hand_graph(knowledge=False).adjacency)
    vectors = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    half = 0.5**0.5
    layer_one = [4 * half + 8 / 2, 8 * half, 1 * half, 1 / 2 + 2 * half, 0.0, 0.0]  # d = 2, 1 | 1, 2, 0 | 0
    expected = (vectors[:, 0] + torch.tensor(layer_one)) / 2
    assert torch.allclose(propagate_mean(normalized, vectors, 1)[:, 0], expected)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_horner_form_is_the_mean_of_the_layers(layers: int) -> None:
    graph = hand_graph()
    normalized = symmetric_normalize(graph.adjacency)
    vectors = torch.randn(graph.num_nodes, 5, generator=generator_for(0))
    edge_index = torch.stack([graph.adjacency.col.long(), graph.adjacency.row_index()])
    each = [vectors]
    for _ in range(layers):
        each.append(LGConv()(each[-1], edge_index))
    assert torch.allclose(propagate_mean(normalized, vectors, layers), torch.stack(each).mean(0), atol=1e-6)
    expected = torch.stack(each[:-1]).sum(0) if layers else torch.zeros_like(vectors)
    assert torch.allclose(layer_sum(normalized, vectors, layers), expected, atol=1e-6)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_gradient_is_that_of_the_plain_sum(layers: int) -> None:
    normalized = symmetric_normalize(hand_graph().adjacency)
    vectors = torch.randn(normalized.num_rows, 5, generator=generator_for(0)).requires_grad_()
    signs = torch.randn(normalized.num_rows, 5, generator=generator_for(1))
    each = [vectors]
    for _ in range(layers):
        each.append(spmm(normalized, each[-1], backend="reference"))
    mean = torch.stack(each).mean(0)
    found = propagate_mean(normalized, vectors, layers)
    ours, expected = (torch.autograd.grad(out, vectors, signs, retain_graph=True)[0] for out in (found, mean))
    assert torch.allclose(ours, expected, atol=1e-6)

    rows, own_signs = torch.tensor([4, 0, 5]), signs.flip(0)[:3]
    found, own = propagate_mean_to(normalized, vectors, layers, rows)
    assert torch.allclose(found, mean[rows], atol=1e-6) and torch.equal(own, vectors[rows])
    pairs = ([found, own], [mean[rows], vectors[rows]])
    ours, expected = (torch.autograd.grad(both, vectors, [signs[rows], own_signs])[0] for both in pairs)
    assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_bfloat16_between_the_layers_rounds_a_little_and_changes_no_type(layers: int) -> None:
    normalized = symmetric_normalize(hand_graph().adjacency)
    vectors = torch.randn(normalized.num_rows, 5, generator=generator_for(0)).requires_grad_()
    rows, signs = torch.tensor([4, 0, 5]), torch.randn(3, 5, generator=generator_for(1))
    results = []
    for storage in (None, torch.bfloat16):
        found, own = propagate_mean_to(normalized, vectors, layers, rows, storage)
        results.append((found, torch.autograd.grad([found, own], vectors, [signs, signs])[0]))
    for exact, rounded in zip(*results, strict=True):
        assert rounded.dtype == torch.float32
        assert torch.allclose(exact, rounded, atol=2e-2)
        assert torch.equal(exact, rounded) == (layers == 0)


def test_a_matrix_that_is_not_symmetric_is_refused() -> None:
    one_way = CSR.from_pairs(torch.tensor([0]), torch.tensor([1]), 2, 2)
    with pytest.raises(UsageError, match="needs a symmetric matrix"):
        propagate_mean(one_way, torch.ones(2, 1), 1)


def test_rows_that_repeat_or_do_not_exist_are_refused() -> None:
    normalized = symmetric_normalize(hand_graph().adjacency)
    vectors = torch.ones(normalized.num_rows, 1)
    with pytest.raises(UsageError, match="rows must be distinct"):
        propagate_mean_to(normalized, vectors, 1, torch.tensor([1, 0, 1]))
    with pytest.raises(UsageError, match=r"rows must lie in \[0, 6\), got -1\.\.2"):
        propagate_mean_to(normalized, vectors, 1, torch.tensor([2, -1]))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_noise_is_added_in_each_layer(layers: int) -> None:
    """Against plain products, with the same draws; the gradient is that of the layers without noise."""
    normalized = symmetric_normalize(hand_graph().adjacency)
    vectors = torch.randn(normalized.num_rows, 5, generator=generator_for(0)).requires_grad_()
    rows, signs = torch.tensor([4, 0, 5]), torch.randn(2, 3, 5, generator=generator_for(1))
    draws, plain, each, clean = generator_for(2), vectors, [], [vectors]
    for layer in range(1, layers + 1):
        chosen = rows if layer == layers else torch.arange(6)
        plain = spmm(normalized, plain, backend="reference")[chosen]
        plain = plain + 0.1 * plain.sign() * normalize(torch.rand(plain.shape, generator=draws), dim=1)
        each.append(plain if layer == layers else plain[rows])
        clean.append(spmm(normalized, clean[-1], backend="reference"))
    mean, first = propagate_noisy(normalized, vectors, rows, layers, noise=0.1, layer=1, generator=generator_for(2))
    assert torch.allclose(mean, torch.stack(each).mean(0), atol=1e-6) and torch.allclose(first, each[0], atol=1e-6)
    ours = torch.autograd.grad([mean, first], vectors, [*signs])[0]
    without = [torch.stack(clean[1:]).mean(0)[rows], clean[1][rows]]
    assert torch.allclose(ours, torch.autograd.grad(without, vectors, [*signs])[0], atol=1e-6)


def test_noise_has_its_length_and_the_signs_of_what_it_is_added_to() -> None:
    normalized = symmetric_normalize(hand_graph(knowledge=False).adjacency)
    vectors, rows = torch.randn(6, 8, generator=generator_for(0)), torch.arange(4)  # items 0 and 1 have edges
    clean = spmm(normalized, vectors)[rows]
    added = propagate_noisy(normalized, vectors, rows, 1, noise=0.3, layer=1, generator=generator_for(1))[0] - clean
    assert torch.allclose(added.norm(dim=1), torch.full((4,), 0.3), atol=1e-5)
    assert torch.equal(added.sign(), clean.sign())


def test_dropped_pairs_go_in_both_directions_and_the_rest_is_scaled_up() -> None:
    graph = hand_graph(knowledge=False)
    normalized = symmetric_normalize(graph.adjacency)
    whole, kept = spmm(normalized, torch.eye(6)), []
    for seed in range(400):
        dropped = drop_pairs(normalized, graph.seen.transpose[1], 0.25, generator_for(seed))
        dense = spmm(dropped, torch.eye(6))
        assert torch.equal(dense, dense.T) and dropped.symmetric
        assert all(value == 0 or value == pytest.approx(4 / 3) for value in (dense / whole)[whole > 0].tolist())
        kept.append((dense > 0)[whole > 0])
    assert torch.stack(kept).float().mean(0).sub(0.75).abs().max() < 0.08
    again = drop_pairs(normalized, graph.seen.transpose[1], 0.25, generator_for(399))
    assert torch.equal(again.value, dropped.value)


def test_dropped_pairs_of_a_larger_graph_are_symmetric() -> None:
    graph = build_graph(small_world()).interactions_only()
    normalized = symmetric_normalize(graph.adjacency)
    dropped = drop_pairs(normalized, graph.seen.transpose[1], 0.5, generator_for(0))
    dense = spmm(dropped, torch.eye(graph.num_nodes))
    assert torch.equal(dense, dense.T) and 0 < (dense > 0).sum() < normalized.num_edges


def attention_inputs(width: int = 8) -> dict[str, torch.Tensor]:
    graph = hand_graph()
    normalized = symmetric_normalize(graph.adjacency)
    assert normalized.value is not None
    return {
        "row_scale": segment_sum(normalized, normalized.value),
        "log_degree": graph.adjacency.degree.float().log(),
        "vectors": torch.randn(graph.num_nodes, width, generator=generator_for(1)),
    }


def test_attention_starts_as_lightgcn() -> None:
    given, graph = attention_inputs(), hand_graph()
    layer = GATLayer(8, 4, graph.num_relations)
    vectors = given.pop("vectors")
    received, _ = layer(graph.adjacency, vectors, vectors, **given)
    expected = 2 * propagate_mean(symmetric_normalize(graph.adjacency), vectors, 1) - vectors
    assert torch.allclose(received, expected, atol=1e-6)


def test_attention_by_hand() -> None:
    """User 0 attends over items 0 and 1 with one head: score g⟨e_i, e_j⟩ + ⟨e_i, r⟩ + b − ½ ln d_j."""
    given, graph = attention_inputs(width=1), hand_graph()
    vectors = torch.tensor([[2.0], [1.0], [3.0], [5.0], [7.0], [1.0]])
    layer = GATLayer(1, 1, graph.num_relations)
    with torch.no_grad():
        layer.scale.fill_(-0.1)
        layer.relation_key[1] = 0.3
        layer.relation_bias[1] = 0.2
    received, _ = layer(graph.adjacency, vectors, vectors, row_scale=given["row_scale"], log_degree=given["log_degree"])
    shared = 2 * 0.3 + 0.2  # the same for both items, so it cancels
    scores = torch.tensor([-0.1 * 2 * 3 + shared, -0.1 * 2 * 5 + shared]) - 0.5 * torch.tensor([1.0, 3.0]).log()
    weights = scores.softmax(0)
    row_scale = 2**-0.5 * (1 + 3**-0.5)
    assert received[0, 0].item() == pytest.approx(row_scale * (weights[0] * 3 + weights[1] * 5).item(), rel=1e-5)


def test_every_parameter_of_the_attention_gets_a_gradient() -> None:
    given, graph = attention_inputs(), hand_graph()
    layer = GATLayer(8, 2, graph.num_relations)
    vectors = given.pop("vectors")
    received, _ = layer(graph.adjacency, vectors, vectors, **given)
    received.square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0
