"""The heterogeneous graph: building it, describing it, handing it to and from other libraries."""

from __future__ import annotations

from graphrec.graph.block import Block
from graphrec.graph.build import build_graph, defer_graph, relations_of, rows_csr, rows_times
from graphrec.graph.deferred import DeferredGraph
from graphrec.graph.hetero import HeteroGraph
from graphrec.graph.interop import from_networkx, from_pyg, to_networkx, to_pyg
from graphrec.graph.report import dataset_report, graph_report

__all__ = [
    "Block",
    "DeferredGraph",
    "HeteroGraph",
    "build_graph",
    "dataset_report",
    "defer_graph",
    "from_networkx",
    "from_pyg",
    "graph_report",
    "relations_of",
    "rows_csr",
    "rows_times",
    "to_networkx",
    "to_pyg",
]
