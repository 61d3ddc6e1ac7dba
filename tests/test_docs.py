"""What docs/models.md says of settings is what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from graphrec.config import RunConfig, TrainingConfig
from graphrec.models import MODELS

PAGE = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")


def documented(heading: str) -> dict[str, str]:
    """Setting → default, from the table under a heading."""
    section = re.split(r"^##+ ", PAGE.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, flags=re.MULTILINE))


def shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text or "none"


@pytest.mark.parametrize("name", MODELS)
def test_settings_of_models(name: str) -> None:
    fields = dataclasses.fields(MODELS[name].Settings)
    assert documented(name) == {field.name: shown(field.default) for field in fields}


def test_settings_of_training() -> None:
    fields = {**TrainingConfig.model_fields, **RunConfig.model_fields}
    expected = {
        name: shown(field.default) for name, field in fields.items() if name not in ("model", "models", "training")
    }
    assert documented("Training") == expected


def test_every_model_is_in_the_overview() -> None:
    assert all(f"| `{name}`" in PAGE for name in MODELS)
