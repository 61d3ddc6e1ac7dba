"""The code in README.md and docs/ runs as it stands there, block after block, in a folder that holds the sample tables.

Run are ```python blocks (one namespace a page) and, of ```bash blocks, the commands that begin with ``graphrec``; make,
git and pip are left alone. What cannot run here (a path of the reader's own, say) stands in a ```text block.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from graphrec.models import MODELS

ROOT = Path(__file__).parent.parent
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()]
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str, str]]:
    """Line number, language and code of each block that may be run."""
    return [(page.count("\n", 0, match.start(2)) + 1, match[1], match[2]) for match in BLOCK.finditer(page)]


def commands(code: str) -> list[str]:
    """The ``graphrec`` commands of a bash block, continuation lines joined."""
    return [line for line in code.replace("\\\n", " ").splitlines() if line.split()[:1] == ["graphrec"]]


def run_command(command: str, where: str) -> None:
    """Run one line in bash, with this environment's ``graphrec`` first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}{done.stderr}"


@mock.patch.dict(MODELS)  # a model that a page registers is not graphrec's
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_on_the_page_runs(page: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sample, tmp_path, dirs_exist_ok=True)
    shutil.copytree(sample, tmp_path / "datasets" / "sample")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    for line, language, code in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{line}"
        if language == "python":
            exec(compile("\n" * (line - 1) + code, str(page), "exec", dont_inherit=True), namespace)
        else:
            for command in commands(code):
                run_command(command, where)


def test_blocks_and_commands_are_found() -> None:
    page = "one\n```bash\nmake demo\ngraphrec check \\\n  a.csv\n```\n```text\nno\n```\n```python\nx = 1\n```\n"
    assert blocks(page) == [(3, "bash", "make demo\ngraphrec check \\\n  a.csv\n"), (11, "python", "x = 1\n")]
    assert commands(blocks(page)[0][2]) == ["graphrec check    a.csv"]
