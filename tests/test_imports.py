"""What importing graphrec may and may not bring along, each asked of a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

# The import names of every extra's packages, and of what tests and lint bring.
EXTRAS = (
    *("torch_scatter", "fastapi", "uvicorn", "faiss", "sentence_transformers", "optuna", "tensorboard"),
    *("pytest", "hypothesis", "torchmetrics", "psutil", "triton"),
)


def run(code: str) -> None:
    """Run ``code`` in a new interpreter; its error output is the failure's message."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_data_imports_no_torch() -> None:
    run("import sys, graphrec.data; assert 'torch' not in sys.modules, 'graphrec.data imported torch'")


def test_import_needs_no_extra() -> None:
    # A module that is None in sys.modules cannot be imported.
    run(
        f"import sys; sys.modules.update(dict.fromkeys({EXTRAS}))\n"
        "import graphrec, graphrec.cli\n"
        "for name in graphrec.__all__: getattr(graphrec, name)"
    )
