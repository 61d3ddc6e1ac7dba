"""What is installed for tests: the pins of constraints.txt, and the hashes with which CI installs them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(file: Path) -> dict[str, str]:
    """Version by package, without the build of torch."""
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def test_ci_installs_what_is_pinned_by_its_hash() -> None:
    text = (ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    hashed, pinned = pins(ROOT / ".ci" / "requirements.txt"), pins(ROOT / "constraints.txt")
    assert {name: hashed[name] for name in hashed if name in pinned} == {
        name: pinned[name] for name in hashed if name in pinned
    }
    assert hashed.keys() - pinned.keys() == set(), "run .ci/lock after pinning them in constraints.txt"


def test_what_is_asked_for_is_pinned_within_its_bounds() -> None:
    pinned = pins(ROOT / "constraints.txt")
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        asked = Requirement(line)
        assert asked.specifier.contains(Version(pinned[canonicalize_name(asked.name)])), line
