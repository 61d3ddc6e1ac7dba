"""What the documentation says of settings is what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from graphrec.cli.settings import described
from graphrec.config import RunConfig, TrainingConfig
from graphrec.models import MODELS
from graphrec.testing.contract import CHECKS

DOCS = Path(__file__).parent.parent / "docs"


def documented(page: str) -> dict[str, str]:
    """Setting → default, from the tables of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", text, flags=re.MULTILINE))


def shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple | dict) else str(value)
    return text or "none"


@pytest.mark.parametrize("name", MODELS)
def test_settings_of_models(name: str) -> None:
    fields = dataclasses.fields(MODELS[name].Settings)
    assert documented(f"models/{name}.md") == {field.name: shown(field.default) for field in fields}


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_is_described_where_it_is_defined(name: str) -> None:
    settings = MODELS[name].Settings
    told = described(settings)
    assert [field.name for field in dataclasses.fields(settings) if not told.get(field.name)] == []


def test_settings_of_training() -> None:
    fields = {**TrainingConfig.model_fields, **RunConfig.model_fields}
    expected = {
        name: shown(field.get_default(call_default_factory=True))
        for name, field in fields.items()
        if name not in ("model", "models", "training", "left_out")
    }
    # the page has a table of bytes too, whose first column holds no field
    found = {name: default for name, default in documented("training.md").items() if name in expected}
    assert found == expected


def test_every_model_is_in_the_overview() -> None:
    page = (DOCS / "models" / "README.md").read_text(encoding="utf-8")
    assert all(f"| [`{name}`]({name}.md)" in page for name in MODELS)


def test_the_contract_is_told_check_by_check() -> None:
    page = (DOCS / "models" / "contract.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, flags=re.MULTILINE))
    assert told == {name: " ".join(check.__doc__.split()).replace("``", "`") for name, check in CHECKS.items()}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [DOCS.parent / "README.md", *DOCS.glob("**/*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in link or (page.parent / link).exists(), f"{page}: {link}"
