"""Everything that decides a run, validated once, frozen, and written beside the run as TOML."""

from __future__ import annotations

from graphrec.config.options import (
    RECIPES,
    laid_over,
    make_config,
    override,
    read_config,
    read_values,
    write_config,
)
from graphrec.config.run import RunConfig, TrainingConfig, parse_config

__all__ = [
    "RECIPES",
    "RunConfig",
    "TrainingConfig",
    "laid_over",
    "make_config",
    "override",
    "parse_config",
    "read_config",
    "read_values",
    "write_config",
]
