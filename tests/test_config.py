"""Configurations: flat options find their place, TOML round-trips, mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphrec.config import RECIPES, make_config, read_config, write_config
from graphrec.errors import UsageError


def test_flat_options_find_their_place() -> None:
    config = make_config("fused", seed=3, epochs=7, width=32, heads=2)
    assert (config.seed, config.training.epochs) == (3, 7)
    assert config.models["gat"].width == config.models["lightgcn"].width == 32
    assert config.models["gat"].heads == 2


def test_only_the_models_in_use_have_settings() -> None:
    assert list(make_config("lightgcn").models) == ["lightgcn"]
    assert list(make_config("fused", views=("lightgcn", "item_knn")).models) == ["fused", "lightgcn", "item_knn"]


@pytest.mark.parametrize("model", ["popularity", "item_knn", "lightgcn", "gat", "fused"])
def test_toml_round_trip(tmp_path: Path, model: str) -> None:
    config = make_config(model, seed=5, learning_rate=0.01)
    write_config(config, tmp_path / "config.toml")
    assert read_config(tmp_path / "config.toml") == config


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("lightgnc", {}, "unknown model 'lightgnc'\ndid you mean lightgcn"),
        ("gat", {"epoch": 3}, "model gat has no option 'epoch'\ndid you mean epochs"),
        ("lightgcn", {"heads": 2}, "model lightgcn has no option 'heads'"),
        ("gat", {"epochs": 0}, "training.epochs: input should be greater than or equal to 1, got 0"),
        ("gat", {"device": "tpu"}, "device: string should match pattern"),
        ("gat", {"width": 10}, "heads must be a divisor of width 10, got 4"),
    ],
)
def test_mistakes_are_named(model: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_config(model, **options)
    assert message in str(caught.value)


def test_a_setting_goes_to_each_view_that_has_it() -> None:
    config = make_config("fused", views=("lightgcn", "history", "item_knn"), loss="softmax")
    assert config.models["lightgcn"].loss == config.models["history"].loss == "softmax"


def test_a_view_that_refuses_a_value_is_named_and_others_may_have_it(tmp_path: Path) -> None:
    views = ("lightgcn", "history")
    with pytest.raises(UsageError) as caught:
        make_config("fused", views=views, loss="bsl")
    assert str(caught.value).splitlines() == [
        "GR062 view history: loss must be softmax or bpr, got bsl",
        "a setting for one view alone stands in the view's own table, [models.VIEW], of a TOML file given by --config",
    ]
    (tmp_path / "run.toml").write_text(
        '[models.fused]\nviews = ["lightgcn", "history"]\n[models.lightgcn]\nloss = "bsl"\n'
    )
    models = read_config(tmp_path / "run.toml").models
    assert (models["lightgcn"].loss, models["history"].loss) == ("bsl", "softmax")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "model = ",
            "model = 7\n",
            'model = "gat"\nunknown = 1\n',
            "[models.ease]\nl2 = 1\n",
            "[models]\nfused = 3\n",
        ),
        *(f"[models.fused]\nviews = {views}\n" for views in ("3", '"gat"', "[1, 2]", "[[]]")),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_config(path)
    with pytest.raises(UsageError, match="cannot read the configuration"):
        read_config(tmp_path / "absent.toml")


@pytest.mark.parametrize("name", sorted(file.stem for file in RECIPES.glob("*.toml")))
def test_recipes_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Also beside a folder of that name, such as the data's; a file of that name comes first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    config = read_config(Path(name), seed=3)
    assert (config.model, config.refit, config.seed) == ("fused", True, 3)
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text('model = "ease"\n')
    assert read_config(Path(name)).model == "ease"
    with pytest.raises(UsageError, match=f"one of the recipes.*{name}"):
        read_config(Path("nothing"))


def test_an_option_may_complete_what_the_file_begins(tmp_path: Path) -> None:
    """A fan-out in the file needs sampling, which the option gives; layers follow from it there too."""
    (tmp_path / "run.toml").write_text('model = "fused"\n[training]\nfanout = [5, 5]\n')
    config = read_config(tmp_path / "run.toml", sampling="neighbor")
    assert config.models["gat"].layers == config.models["lightgcn"].layers == 2
    with pytest.raises(UsageError, match="fanout is for sampling neighbours"):
        read_config(tmp_path / "run.toml")


def test_a_fan_out_brings_layers_to_models_that_have_some_and_no_others() -> None:
    assert make_config("item_knn", sampling="neighbor", fanout=(5, 5)).training.fanout == (5, 5)
    kinds = {"interacts": (5, 5, 2), "knowledge": (2, 2, 0)}
    assert make_config("gat", sampling="neighbor", fanout=kinds).models["gat"].layers == 3
    assert make_config("gat", sampling="neighbor", fanout=(5, 5), layers=3).models["gat"].layers == 3
    with pytest.raises(UsageError, match=r"training\.fanout"):
        make_config("gat", sampling="neighbor", fanout=5)
