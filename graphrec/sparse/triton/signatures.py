"""The arguments that attention's passes share; ``graphrec.sparse.triton`` has their shapes."""

from __future__ import annotations

from torch import Tensor

Graph = tuple[Tensor, Tensor, Tensor | None]  # rowptr, col, edge_type
Turned = tuple[Tensor, Tensor, Tensor | None, Tensor]  # the transpose, and the permutation
# vector, scale, relation_key, bias, relation_bias
Terms = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]
