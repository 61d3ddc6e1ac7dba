"""Self-attention over the items of a user in the order of use.

B sequences, L places in a sequence, H heads, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, relu, scaled_dot_product_attention

from graphrec.layers.dropout import dropped


class SequenceBlock(nn.Module):
    """x + attention(norm x), then x + W₂ relu(W₁ norm x): a block of a Transformer that looks back only.

    Args:
        width: W.
        heads: H, a divisor of W.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend = nn.Parameter(torch.zeros(3 * width, width))
        self.mix = nn.Parameter(torch.zeros(width, width))
        self.first = nn.Parameter(torch.zeros(width, width))
        self.second = nn.Parameter(torch.zeros(width, width))

    def forward(self, x: Tensor, dropout: float, generator: torch.Generator | None) -> Tensor:
        """The block on float32 [B, L, W]; with a generator, numbers of what is added are dropped."""
        x = x + _dropped(self._attended(_norm(x)) @ self.mix.T, dropout, generator)
        return x + _dropped(relu(_norm(x) @ self.first.T) @ self.second.T, dropout, generator)

    def _attended(self, x: Tensor) -> Tensor:
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in _thirds(x @ self.attend.T))
        return scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)


class SequenceEncoder(nn.Module):
    """A user's state after each item: causal self-attention over items, places and time gaps.

    SASRec (Kang & McAuley 2018, §III) with TiSASRec's time gaps (Li et al. 2020) in their lightest form: what is added
    to an item is a vector for its place and one for ⌊log₂(1 + gap)⌋, the gap being the time since the item before.
    Departures: places count from the window's oldest item, not back from its newest; layers are normalised before, not
    after, and without learned scales.

    Args:
        width, heads: W and H.
        blocks: how many.
        length: L, the longest sequence.
    """

    GAPS = 64

    def __init__(self, width: int, heads: int, blocks: int, length: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(length, width))
        self.gap = nn.Parameter(torch.zeros(self.GAPS, width))
        self.blocks = nn.ModuleList(SequenceBlock(width, heads) for _ in range(blocks))

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the weights of the blocks from N(0, 1/W); places and gaps start at 0."""
        self.place.zero_(), self.gap.zero_()
        for parameter in self.blocks.parameters():
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5, generator=generator)

    def forward(
        self, items: Tensor, gaps: Tensor | None, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """States after each item, float32 [B, L', W].

        Args:
            items: vectors of the items, oldest first, float32 [B, L', W], L' ≤ L; what stands behind the newest has no
                effect on the states before.
            gaps: time since the item before, int64 ≥ 0 [B, L'], of the first 0; None if it is not known.
            dropout: share of the numbers left out.
            generator: None leaves out none.
        """
        x = items + self.place[: items.shape[1]]
        if gaps is not None:
            x = x + self.gap[gap_class(gaps)]
        x = _dropped(x, dropout, generator)
        for block in self.blocks:
            x = block(x, dropout, generator)
        return _norm(x)


def gap_class(gaps: Tensor) -> Tensor:
    """⌊log₂(1 + gap)⌋, int64.

    >>> gap_class(torch.tensor([0, 1, 2, 3, 86400]))
    tensor([ 0,  1,  1,  2, 16])
    """
    return (gaps + 1).double().log2().floor().long().clamp(max=SequenceEncoder.GAPS - 1)


def _thirds(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = x.chunk(3, dim=-1)
    return query, key, value


def _norm(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])


def _dropped(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    return x if generator is None else dropped(x, share, generator)
