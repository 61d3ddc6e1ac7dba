"""Attention over what is known of a node: text, numbers, images and other modalities.

n nodes, M modalities, D numbers of a modality, W width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class ModalityAttention(nn.Module):
    """v_i = Σ_m a_im P_m x_im,  a_i = softmax over the modalities m known of i of ⟨q_m, P_m x_im⟩.

    A modality of which a node knows nothing (NaN) takes no part; a node of which nothing is known gets 0. At q = 0 it
    is the plain mean over the known modalities.

    Args:
        widths: D of each modality, by name.
        width: W.

    Attributes:
        project: P_m, [W, D], by modality.
        query: q_m, [W], by modality.
    """

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.project = nn.ParameterDict({name: torch.zeros(width, size) for name, size in widths.items()})
        self.query = nn.ParameterDict({name: torch.zeros(width) for name in widths})

    def reset(self, generator: torch.Generator) -> None:
        """Draw the projections from N(0, 0.1²); attention starts as the mean."""
        for name, weight in self.project.items():
            nn.init.normal_(weight, std=0.1, generator=generator)
            nn.init.zeros_(self.query[name])

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Vectors of all nodes.

        Args:
            features: float [n, D] by modality, NaN in the rows of nodes of which it is not known.

        Returns:
            float32 [n, W].
        """
        known, sent = self._sent(features)
        weight = torch.nan_to_num(self._weights(known, sent))
        return (weight[..., None] * sent).sum(dim=0)

    def weights(self, features: Mapping[str, Tensor]) -> Tensor:
        """a, float32 [M, n], in the order of the names that the layer was made with; 0 where nothing is known."""
        return torch.nan_to_num(self._weights(*self._sent(features)))

    def _sent(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Whether a modality is known, bool [M, n], and P_m x_im, 0 where it is not, [M, n, W]."""
        known = torch.stack([~features[name][:, 0].isnan() for name in self.project])
        sent = [features[name].float().nan_to_num() @ weight.T for name, weight in self.project.items()]
        return known, torch.stack(sent)

    def _weights(self, known: Tensor, sent: Tensor) -> Tensor:
        query = torch.stack(list(self.query.values()))
        logit = (sent * query[:, None]).sum(dim=-1)
        return logit.masked_fill(~known, -torch.inf).softmax(dim=0)
