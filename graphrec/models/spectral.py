"""Spectral: what a person used is a signal on the items, and a smooth version of it says what they will use.

B users or items in a block, I items, U users, n singular vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.polynomial import Chebyshev
from torch import Tensor

from graphrec.data.large.memory import available_memory
from graphrec.graph import HeteroGraph
from graphrec.models.additive import AdditiveModel
from graphrec.models.base import check_setting, searched
from graphrec.models.recency import RecencySettings
from graphrec.sparse import (
    CSR,
    chebyshev_product,
    right_singular_vectors,
    scale_edges,
    spmm,
)
from graphrec.sparse.spectrum import WIDTH

_SHARE = 16  # with a singular vector for fewer users or items than that, the ideal low-pass passes noise

_CLOSE = 2e-3  # how far the rest of the spectrum may be passed from p, where 1 passes in full

_BYTES = 12  # of memory while fitting, for each singular vector and user or item


@dataclass(frozen=True)
class SpectralSettings(RecencySettings):
    """Settings of the graph filter.

    Args:
        order: K ≥ 0 of the polynomial p; 0 leaves it out, which leaves the ideal low-pass alone.
        flatness: φ > 0 of the response that p follows; 1 is linear, and larger is flatter around its middle.
        rank: n ≥ 0 singular vectors that pass the ideal low-pass, at most one for 16 users or items.
        ideal_weight: α ≥ 0 of the ideal low-pass.
        degree_power: β of the item degrees around the polynomial.
        ideal_degree_power: the same around the ideal low-pass.
    """

    order: int = searched(1, choices=(1, 4, 8))
    flatness: float = searched(1.0, 1.0, 3.0)
    rank: int = searched(512, 32, 512, log=True)
    ideal_weight: float = searched(0.3, 0.0, 0.6)
    degree_power: float = searched(0.3, 0.0, 0.6)
    ideal_degree_power: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting("order", self.order, self.order >= 0, ">= 0")
        check_setting("flatness", self.flatness, self.flatness > 0, "> 0")
        check_setting("rank", self.rank, self.rank >= 0, ">= 0")
        check_setting("ideal_weight", self.ideal_weight, self.ideal_weight >= 0, ">= 0")


class Spectral(AdditiveModel):
    """scores = r Di^-β p(R̃ᵀR̃) Di^β + α r Di^-γ V Vᵀ Di^γ,  R̃ = Du^-½ R Di^-½, for a row r of the interactions R.

    V are the right singular vectors of R̃ with the largest singular values. p is the polynomial of order K that equals
    h(λ) = ½ + ½ s |2λ − 1|^φ, s the sign of 2λ − 1, at the K + 1 Chebyshev nodes of [0, 1]. So

    - K = 1, φ = 1, β = 0, γ = ½ is GF-CF (Shen et al. 2021): p(λ) = λ, the linear filter;
    - K = 8, φ = 1.5, β = γ is ChebyCF (Kim et al. 2025), whose plateau h is, seen from the other end of the spectrum;
    - K = 0 is the ideal low-pass alone (p = 0), α = 0 a polynomial alone.

    Departures: singular vectors come from Chebyshev-accelerated subspace iteration instead of ARPACK or a randomised
    SVD. ChebyCF's code takes the values of h at the extrema of T_K, rounded to three decimals, for those at the roots
    of T_(K+1), which the coefficients belong to; here they are taken at the roots. What V holds is passed by p exactly;
    the rest of the spectrum is [0, λ_n], where a polynomial q of lower order is as good, so that scores cost fewer
    products: p = q + V (p − q)(Λ) Vᵀ, with q within 0.002 of p there. Items that nobody used score 0.

    Args:
        graph: whose interactions are filtered; it uses no knowledge.
        settings: a ``SpectralSettings``.

    Attributes:
        basis: V, float32 [I, n]; none before ``fit``.
        squares: Λ, their eigenvalues of R̃ᵀR̃, float32 [n], largest first.
    """

    name: ClassVar[str] = "spectral"
    Settings: ClassVar[type] = SpectralSettings
    basis: Tensor
    squares: Tensor

    def __init__(self, graph: HeteroGraph, settings: Any) -> None:
        super().__init__(graph, settings)
        self.register_buffer("basis", torch.empty(graph.num_items, 0))
        self.register_buffer("squares", torch.empty(0))

    @classmethod
    def obstacle(cls, graph: HeteroGraph, settings: Any) -> str | None:
        if reason := super().obstacle(graph, settings):
            return reason
        count = rank_on(graph, settings)
        needed, free = _BYTES * count * (graph.num_users + graph.num_items), available_memory()
        if needed <= free:
            return None
        return (
            f"finding {count} singular vectors needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
        )

    def fit(self) -> None:
        """Find the singular vectors; the draws have a seed of their own, so that a fit repeats."""
        generator = torch.Generator().manual_seed(0)
        values, self.basis = right_singular_vectors(self.normalized, rank_on(self.graph, self.settings), generator)
        self.squares = values.square()

    @cached_property
    def item_degree(self) -> Tensor:
        """float32 [I]."""
        return torch.bincount(self.graph.seen.col, minlength=self.graph.num_items).float()

    @cached_property
    def normalized(self) -> CSR:
        """R̃, computed once."""
        seen = self.graph.seen
        return scale_edges(seen, *(degree.clamp(min=1).rsqrt() for degree in (seen.degree.float(), self.item_degree)))

    @property
    def response(self) -> Chebyshev:
        """p, in the Chebyshev polynomials of 1 − 2λ."""

        def plateau(eigenvalue: np.ndarray) -> np.ndarray:
            x = 1 - 2 * eigenvalue
            return 0.5 - 0.5 * np.sign(x) * np.abs(x) ** self.settings.flatness

        return Chebyshev.interpolate(plateau, self.settings.order, domain=[1, 0])

    @property
    def lower(self) -> Chebyshev:
        """q, of the lowest order that is close to p on [0, λ_n]; p itself where that takes as many products."""
        wanted = self.response
        bound = float(self.squares[-1]) if len(self.squares) else 0.0
        rest = np.linspace(0, bound, 200)
        for order in range(self.settings.order if bound > 0 else 0):
            found = Chebyshev.interpolate(wanted, order, domain=[bound, 0])
            if np.abs(found(rest) - wanted(rest)).max() <= _CLOSE:
                return found
        return wanted

    def summed(self, weighted: CSR) -> Tensor:
        return self._filter(weighted, self.settings.degree_power, self.settings.ideal_degree_power)

    def similarity_block(self, items: Tensor) -> Tensor:
        """p(R̃ᵀR̃) + α V Vᵀ, without degrees; an item's likeness to itself is raised to the largest of its row."""
        block = self._filter(_single(items, self.graph.num_items), 0.0, 0.0)
        row = torch.arange(len(items), device=items.device)
        block[row, items] = block.amax(dim=1)
        return block

    def added(self, used: Tensor, item: int) -> Tensor:
        """What the transposed filter makes of the item alone."""
        column = _single(torch.tensor([item], device=self.graph.device), self.graph.num_items)
        found = self._filter(column, -self.settings.degree_power, -self.settings.ideal_degree_power)
        return found[0, used.long()]

    def _filter(self, signal: CSR, power: float, ideal_power: float) -> Tensor:
        """The filters of the rows of a signal [B, I], between item degrees to −power and to power."""
        lower, known = self.lower, self.squares.cpu().double().numpy()
        missing = torch.from_numpy(self.response(known) - lower(known)).to(self.squares)
        ideal = torch.full_like(missing, self.settings.ideal_weight)
        if power == ideal_power:
            passed = self._pass_known(signal, missing + ideal, power)
        else:
            passed = self._pass_known(signal, ideal, ideal_power)
            if bool(missing.any()):
                passed += self._pass_known(signal, missing, power)
        return self._add_lower(passed, signal, lower, power) if self.settings.order else passed

    def _pass_known(self, signal: CSR, gain: Tensor, power: float) -> Tensor:
        """What V holds of the signal, each vector with its gain [n]: float32 [B, I]."""
        if self.basis.shape[1] == 0:
            return self.basis.new_zeros(signal.num_rows, self.graph.num_items)
        scaled = replace(signal, value=_times(self._degree_scale(-power)[signal.col.long()], signal.value))
        return (spmm(scaled, self.basis).mul_(gain) @ self.basis.T).mul_(self._degree_scale(power))

    def _add_lower(self, passed: Tensor, signal: CSR, lower: Chebyshev, power: float) -> Tensor:
        """``passed`` [B, I] with q of the signal on top, a block of rows at a time."""
        before, after = self._degree_scale(-power), self._degree_scale(power)
        coefficients, bound = lower.coef.tolist(), float(lower.domain[0])
        for first in range(0, signal.num_rows, WIDTH):
            part = signal.slice_rows(first, min(first + WIDTH, signal.num_rows))
            block = before.new_zeros(self.graph.num_items, WIDTH)  # the products are fastest at just this width
            block[part.col.long(), part.row_index()] = _times(before[part.col.long()], part.value)
            block = chebyshev_product(self.normalized, block, coefficients, bound).mul_(after[:, None])
            passed[first : first + part.num_rows] += block[:, : part.num_rows].T
        return passed

    def _degree_scale(self, power: float) -> Tensor:
        """d^power of each item, float32 [I]; 0 for one that nobody used."""
        return torch.where(self.item_degree > 0, self.item_degree.clamp(min=1) ** power, 0.0)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take the number of vectors from the state, since a model that is not fitted has none."""
        if prefix + "basis" in state_dict:
            count = state_dict[prefix + "basis"].shape[1]
            self.basis, self.squares = self.basis.new_empty(self.graph.num_items, count), self.squares.new_empty(count)
        super()._load_from_state_dict(state_dict, prefix, *args)


def rank_on(graph: HeteroGraph, settings: SpectralSettings) -> int:
    """n, as many singular vectors as a graph gets: 0 where they have no weight."""
    most = math.ceil(min(graph.num_users, graph.num_items) / _SHARE)
    return min(settings.rank, most) if settings.ideal_weight > 0 else 0


def _single(items: Tensor, num_items: int) -> CSR:
    """A row with one item for each of ``items``."""
    return CSR(torch.arange(len(items) + 1, device=items.device), items.int(), num_items)


def _times(numbers: Tensor, weight: Tensor | None) -> Tensor:
    return numbers if weight is None else numbers * weight
