"""What the documentation says of settings is what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from graphrec.cli.settings import described
from graphrec.config import RunConfig, TrainingConfig
from graphrec.models import MODELS

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


def test_links_between_pages_lead_somewhere() -> None:
    for page in [DOCS.parent / "README.md", *DOCS.glob("**/*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in link or (page.parent / link).exists(), f"{page}: {link}"


def test_what_is_said_of_bad_input_is_tested() -> None:
    page = (DOCS / "trust.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("data/test_*.py"))
    rows = [row for row in re.findall(r"^\| (.+) \|$", page, flags=re.MULTILINE) if not row.startswith(("case", "-"))]
    named = [re.findall(r"`(test_\w+)`", row.rpartition("|")[2]) for row in rows]
    assert all(named)
    assert {name for names in named for name in names} <= set(re.findall(r"^def (test_\w+)", tests, flags=re.MULTILINE))
