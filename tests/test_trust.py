"""The page of what can be trusted names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_case_has_a_test() -> None:
    rows = [line for line in (ROOT / "docs" / "trust.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    cases = [row for row in rows if not row.startswith("| case")]
    named = [re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1]) for row in cases]
    assert len(cases) > 25 and all(named), [row for row, tests in zip(cases, named, strict=True) if not tests]
    written = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE))
    assert {test for tests in named for test in tests} - there == set()
