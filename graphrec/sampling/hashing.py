"""The random numbers of ``draw``'s kernels in torch, whose int64 multiplies as uint64 does: both wrap."""

from __future__ import annotations

from torch import Tensor


def _signed(number: int) -> int:
    """The int64 with the low 64 bits of a number."""
    return (number + 2**63) % 2**64 - 2**63


_GOLDEN, _FIRST, _SECOND = (_signed(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def stream_of(seed: int, name: Tensor, hop: int, group: Tensor) -> Tensor:
    """The state that the draws of a name and group at a hop start from, int64."""
    return _mixed(_mixed(name * _FIRST ^ _signed(seed)) + ((hop << 32) + group))


def after(stream: Tensor, draws: int) -> Tensor:
    """The state after so many draws."""
    return stream + _signed(_GOLDEN * draws)


def below(stream: Tensor, limit: Tensor) -> Tensor:
    """A number in [0, limit) for each state, limit < 2³²."""
    return _shifted(_shifted(_mixed(stream), 32) * limit, 32)


def share(stream: Tensor) -> Tensor:
    """A number in [0, 1) for each state, float64."""
    return _shifted(_mixed(stream), 11).double() * (1.0 / (1 << 53))


def _mixed(number: Tensor) -> Tensor:
    """A bijection of 64-bit numbers, each bit depending on all (Steele et al. 2014, splitmix64)."""
    number = (number ^ _shifted(number, 30)) * _FIRST
    number = (number ^ _shifted(number, 27)) * _SECOND
    return number ^ _shifted(number, 31)


def _shifted(number: Tensor, bits: int) -> Tensor:
    """Shifted right, with zeros coming in."""
    return (number >> bits) & ((1 << (64 - bits)) - 1)
