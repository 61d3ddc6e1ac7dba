"""Attention over what is known of a node: text, numbers, images and other modalities.

n nodes, M modalities, D numbers of a modality, W width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class ModalityAttention(nn.Module):
    """v_i = Σ_m a_im P_m x_im / s_m,  a_i = softmax over the modalities m known of i of ⟨q_m, P_m x_im / s_m⟩.

    A modality of which a node knows nothing (NaN) takes no part; a node of which nothing is known gets 0. At q = 0 it
    is the plain mean over the known modalities. s_m is the size of a usual number of the modality, so that vectors of
    any origin train alike.

    Args:
        widths: D of each modality, by name.
        width: W.

    Attributes:
        project: P_m, [W, D], by modality.
        query: q_m, [W], by modality.
        size: s, [M].
    """

    size: Tensor

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.project = nn.ParameterDict({name: torch.zeros(width, count) for name, count in widths.items()})
        self.query = nn.ParameterDict({name: torch.zeros(width) for name in widths})
        self.register_buffer("size", torch.ones(len(widths)))

    def reset(self, features: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """Draw P from N(0, 0.1²), measure s, and set q to 0."""
        for place, (name, weight) in enumerate(self.project.items()):
            nn.init.normal_(weight, std=0.1, generator=generator)
            nn.init.zeros_(self.query[name])
            mean_square = features[name].float().square().nanmean()
            self.size[place] = torch.where(mean_square > 0, mean_square.sqrt(), 1.0)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Vectors of all nodes.

        Args:
            features: float [n, D] by modality, NaN in the rows of nodes of which it is not known.

        Returns:
            float32 [n, W].
        """
        sent = self._sent(features)
        return (self._weights(features, sent)[..., None] * sent).sum(dim=0)

    def weights(self, features: Mapping[str, Tensor]) -> Tensor:
        """a, float32 [M, n], modalities in the order of their names; 0 for what is not known."""
        return self._weights(features, self._sent(features))

    def _sent(self, features: Mapping[str, Tensor]) -> Tensor:
        """P_m x_im / s_m, 0 where it is not known, [M, n, W]."""
        projected = [features[name].to(weight).nan_to_num() @ weight.T for name, weight in self.project.items()]
        return torch.stack(projected) / self.size[:, None, None]

    def _weights(self, features: Mapping[str, Tensor], sent: Tensor) -> Tensor:
        known = torch.stack([~features[name][:, 0].isnan() for name in self.project])
        logit = torch.einsum("mnw,mw->mn", sent, torch.stack(list(self.query.values())))
        none = ~known.any(dim=0)
        weight = logit.masked_fill(~(known | none), -torch.inf).softmax(dim=0)
        return weight.masked_fill(~known, 0.0)
