"""The scripts behind docs/results.md in small: what is tried, what is judged, what the tables say."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from graphrec.data import Part, synthetic
from graphrec.training import Trainer

FOLDER = Path(__file__).parent.parent / "examples" / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of that folder, which may import its neighbours."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_views_try_the_same_values_of_a_shared_setting(script) -> None:
    space = script("search_space")
    layers = {"layers": [1, 2, 3, 4, 5]}
    first = space.View("a", "lightgcn", {"loss": "bpr"}, layers | {"l2": list(range(100))})
    second = space.View("b", "gat", {}, layers | {"l2": list(range(100)), "heads": [1, 2, 4]})
    drawn, others = first.draw(6, seed=3), second.draw(6, seed=3)
    assert len(drawn) == 6 and all(own["loss"] == "bpr" for own in drawn)
    assert [(own["layers"], own["l2"]) for own in drawn] == [(own["layers"], own["l2"]) for own in others]
    assert drawn != first.draw(6, seed=4)


def test_all_settings_are_tried_where_there_are_few(script) -> None:
    space = script("search_space")
    assert space.View("knn", "item_knn").draw(5, seed=1) == [{}]
    view = space.View("knn", "item_knn", {}, {"neighbours": [1, 2], "shrink": [0.0, 1.0]})
    assert len(view.draw(4, seed=1)) == 4
    three = view.draw(3, seed=1)
    assert len(three) == 3 and all(three.count(own) == 1 for own in three)


def test_every_view_has_settings_that_its_model_knows(script) -> None:
    space = script("search_space")
    from graphrec.config import make_config
    from graphrec.models import MODELS

    for view in space.read_views():
        if view.model in MODELS and not view.fuses:
            for options in view.draw(2, seed=1):
                make_config(view.model, **options)
    with pytest.raises(SystemExit, match="no view nothing"):
        space.read_views(["nothing"])


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """20 users, 10 items: each user has 3 rows of label 1 and 3 of label 0; an entity joins items 0 and 1."""
    generator = np.random.default_rng(2)
    lines = []
    for user in range(20):
        drawn = generator.permutation(10)[:6]
        lines += [f"{user}\t{item}\t{int(place < 3)}" for place, item in enumerate(drawn)]
    (tmp_path / "ratings_final.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "kg_final.txt").write_text("0\t0\t10\n1\t0\t10\n")
    return tmp_path


def test_labelled_rows_are_split_and_only_positives_become_interactions(script, labelled: Path) -> None:
    pairs = script("clicks").Labelled(labelled)
    data, parts = pairs.split(seed=1)
    assert np.bincount(parts, minlength=4).tolist() == [72, 24, 0, 24]
    assert len(data.interactions) == int(pairs.label.sum()) == 60
    for part in (Part.FIT, Part.SELECT, Part.TEST):
        user, item = data.interactions.select(part)
        wanted = pairs.label.numpy() & (parts == part)
        assert user.tolist() == pairs.user[wanted].tolist() and item.tolist() == pairs.item[wanted].tolist()
    assert (pairs.split(seed=2)[1] != parts).any()


def test_clicks_from_end_to_end(script, labelled: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    clicks = script("clicks")
    arguments = [str(labelled), "--out", str(tmp_path / "out"), "--views", "popularity", "lightgcn", "--trials=2"]
    monkeypatch.setattr(clicks, "read_toml", lambda name: {"training": {"epochs": 1, "width": 4}, "published": {}})
    monkeypatch.setattr("sys.argv", ["clicks.py", *arguments, "--seeds", "1", "2"])
    clicks.main()
    output = capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["view"] for row in rows] == ["popularity", "lightgcn"]
    assert all(0 <= seed["test"] <= 1 for row in rows for seed in row["seeds"])
    assert output.splitlines()[2].startswith("| popularity | 0.")
    assert len(list((tmp_path / "out" / "lightgcn").glob("trial-*.json"))) == 2
    clicks.main()  # reads what is there
    assert capsys.readouterr().out == output


def write_users(folder: Path, values: dict[int, float], seed: int) -> None:
    folder = folder / f"seed-{seed}"
    folder.mkdir(parents=True)
    table = pd.DataFrame({"user_index": list(values), "recall@20": list(values.values()), "ndcg@20": 0.0})
    table.assign(group="all").to_parquet(folder / "per_user.parquet")
    found = {"all": {"recall@20": sum(values.values()) / len(values), "ndcg@20": 0.0, "users": len(values)}}
    (folder / "row.json").write_text(json.dumps({"seed": seed, "options": {"layers": 2}, "test": found}))


def test_tests_average_over_seeds_and_share_one_correction(script, tmp_path: Path) -> None:
    for name in ("one", "two"):
        for seed in (1, 2):
            write_users(tmp_path / name / "a", {0: 0.5 + seed / 10, 1: 0.25, 2: 1.0, 3: 0.5}, seed)
            write_users(tmp_path / name / "b", {0: 0.5, 1: 0.25, 2: 0.5, 3: 0.25}, seed)
    tests = [{"name": "a against b", "a": "a", "b": "b", "on": ["all", "new"]}]
    tests.append({"name": "against what is not there", "a": "a", "b": "c", "on": ["all"]})
    report = script("compare_tables").report
    tables = report(tmp_path, ["one", "two"], [1, 2], tests)
    for name in ("one", "two"):
        found = json.loads((tmp_path / f"{name}.json").read_text())
        (row,) = found["tests"]
        assert row["difference"] == pytest.approx((0.15 + 0 + 0.5 + 0.25) / 4)  # user 0: (0.6 + 0.7) / 2 − 0.5
        assert (row["won"], row["lost"], row["tied"]) == (3, 0, 1) and found["test_reads"] == 0
    assert tables.count(f"| {row['p_value']:.2g} | {2 * row['p_value']:.2g} |") == 2
    shutil.rmtree(tmp_path / "one")  # its summary is enough
    assert report(tmp_path, ["one", "two"], [1, 2], tests) == tables
    assert "| a | 0.6000 ± 0.0177 | 0.0000 | – | – | layers 2 |" in tables
    assert "| one | a against b | all | 0.6000 | 0.3750 | +0.2250 [" in tables


def test_compare_from_end_to_end(script, tmp_path: Path, monkeypatch, capsys) -> None:
    world = synthetic.generate(seed=3, num_users=60, num_items=40)
    (tmp_path / "shop").mkdir()
    world.interactions.to_csv(tmp_path / "shop" / "interactions.csv", index=False)
    own = {"file": "interactions.csv", "training": {"epochs": 2, "width": 4, "eval_every": 1, "batch_size": 128}}
    tests = [{"name": "two kinds of weights", "a": "fused-attention", "b": "fused-constant", "on": ["all"]}]
    tests.append({"name": "against the best", "a": "fused", "b": "best single view", "on": ["all"]})
    compare = script("compare")
    recipe = {"seed": 1, "sets": {"shop": own}, "tests": tests}
    monkeypatch.setattr(compare, "read_toml", lambda name: recipe)
    arguments = [str(tmp_path), "--out", str(tmp_path / "out"), "--seeds", "1", "2", "--trials=1"]
    monkeypatch.setattr("sys.argv", ["compare.py", *arguments, "--views", "item_knn", "lightgcn", "gat", "fused"])
    epochs, one_epoch = [], Trainer._one_epoch
    monkeypatch.setattr(Trainer, "_one_epoch", lambda trainer: epochs.append(trainer.phase) or one_epoch(trainer))
    compare.main()
    told = capsys.readouterr()
    assert "shop gat left out: the data has no knowledge" in told.err
    found = json.loads((tmp_path / "out" / "shop.json").read_text())
    assert set(found["views"]) == {"item_knn", "lightgcn", "fused", "fused-attention", "fused-constant"}
    reads = [json.loads(line) for line in (tmp_path / "out" / "shop" / "test_reads.jsonl").read_text().splitlines()]
    assert found["test_reads"] == len(reads) == 1 + 2 + 3 * 2  # what trains nothing is judged once
    assert [row["seed"] for row in found["views"]["item_knn"]] == [1, 2]
    assert epochs.count("select") == 2 * 2 and epochs.count("refit") <= 2 * 2  # the fusions train nothing anew
    assert all(read["groups"] == ["all", "rare", "new"] for read in reads)
    test, against_best = found["tests"]
    assert test["num_users"] > 40
    singles = {name: found["views"][name] for name in ("item_knn", "lightgcn")}
    reached = {name: np.mean([row["test"]["all"]["recall@20"] for row in rows]) for name, rows in singles.items()}
    assert against_best["b"] == max(reached, key=reached.get)
    assert against_best["mean_b"] == pytest.approx(max(reached.values()))
    fused = found["views"]["fused"][0]
    assert fused["options"] == {"views": ["item_knn", "lightgcn"]}
    assert f"within 0.5 % {', '.join(fused['enough'])}" in told.out
    monkeypatch.setattr("sys.argv", [*compare.sys.argv, "--tables"])
    compare.main()
    assert capsys.readouterr().out == told.out


def test_a_trial_that_takes_too_long_reaches_nothing(script, tmp_path: Path) -> None:
    compare, space = script("compare"), script("search_space")
    world = synthetic.generate(seed=3, num_users=60, num_items=40)
    (tmp_path / "shop").mkdir()
    world.interactions.to_csv(tmp_path / "shop" / "interactions.csv", index=False)
    own = {"file": "interactions.csv", "training": {"epochs": 2, "width": 4}}
    here = compare.Set("shop", own, 1, tmp_path / "shop", tmp_path / "out")
    view = space.View("lightgcn", "lightgcn")
    assert compare.try_settings(here, view, {}, cap=0)["why"] == "not trained within 0 s"
    assert compare.choose(here, view, compare.Trials(1, 0, [1])) is None


def test_settings_that_were_chosen_before_are_taken(script, tmp_path: Path) -> None:
    compare, space = script("compare"), script("search_space")
    chosen = {"options": {"neighbours": 7}, "training": {"epochs": 3}}
    (tmp_path / "shop.json").write_text(json.dumps({"views": {"knn": [chosen, chosen]}}))
    made = {"generate": {"seed": 3, "num_users": 60, "num_items": 40}, "training": {"epochs": 5}}
    here = compare.Set("shop", made, 1, tmp_path, tmp_path / "out")
    trials = compare.Trials(4, 60, [1], settings=tmp_path)
    trial = compare.choose(here, space.View("knn", "item_knn", {"recency": 0.0}), trials)
    assert trial == {"options": {"recency": 0.0, "neighbours": 7}, "training": here.shared}
    assert here.shared["epochs"] == 5
    assert compare.choose(here, space.View("new", "item_knn"), trials) is None


def test_what_is_chosen_for_a_time_is_judged(script, tmp_path: Path) -> None:
    fits, space = script("compare_fits"), script("search_space")
    here = fits.Set("shop", {"generate": {"seed": 3, "num_users": 60, "num_items": 40}}, 1, tmp_path, tmp_path / "out")
    fits.finish_timed(here, space.View("default", "fused", minutes=0.02), seed=1)
    row = json.loads((tmp_path / "out" / "default" / "seed-1" / "row.json").read_text())
    assert row["options"] == {"minutes": 0.02} and row["views"] and 0 < row["test"]["all"]["recall@20"] <= 1
    assert len((tmp_path / "out" / "test_reads.jsonl").read_text().splitlines()) == 1
    fits.finish_timed(here, space.View("default", "fused", minutes=0.02), seed=1)  # is there already
    assert len((tmp_path / "out" / "test_reads.jsonl").read_text().splitlines()) == 1


def test_what_recency_is_worth_is_told_from_two_readings(script, tmp_path: Path, monkeypatch, capsys) -> None:
    recency = script("recency")
    made = {"sets": {"yelp-seq": {"generate": {"seed": 3, "num_users": 60, "num_items": 40}}}, "seed": 1}
    monkeypatch.setattr(recency, "read_toml", lambda name: made)
    monkeypatch.setattr(recency, "TRAINING", {"width": 8, "epochs": 2, "eval_every": 1, "seed": 1})
    wanted = ["--sets", "yelp-seq", "--views", "item_knn", "history", "lightgcn"]
    monkeypatch.setattr("sys.argv", ["recency.py", str(tmp_path), "--out", str(tmp_path / "out"), *wanted])
    recency.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == ["### yelp-seq", "", "| view | all alike | newer more | ρ | p |"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[5:]]
    assert [row[0] for row in cells] == ["item_knn", "history", "lightgcn"]
    assert all(row[3] in {"0", "0.25", "0.5", "1", "1.5"} for row in cells)
    assert all((row[3] == "0") <= (row[1] == row[2]) for row in cells)


def test_a_split_in_time_is_told_from_an_even_draw(script, tmp_path: Path) -> None:
    """Half the items are new: they stand behind the old ones in each line, and a split in time tests on them."""
    rows, rng = script("split_rows"), np.random.default_rng(0)
    for name in ("even", "late"):
        (tmp_path / name).mkdir()
        lines: dict[str, list[str]] = {"train": [], "test": []}
        for user in range(400):
            items = np.concatenate([rng.permutation(20)[:10], 20 + rng.permutation(20)[:10]])
            test = np.arange(20) >= 16 if name == "late" else rng.permutation(20) >= 16
            lines["train"].append(" ".join(map(str, [user, *items[~test]])))
            lines["test"].append(" ".join(map(str, [user, *items[test]])))
        for part, content in lines.items():
            (tmp_path / name / f"{part}.txt").write_text("\n".join(content) + "\n")
    even, late = (rows.rows_of(tmp_path / name) for name in ("even", "late"))
    assert len(even) == 8000 and even["test"].sum() == 1600
    assert even.loc[0, "place"] == pytest.approx(0.5 / 16)
    assert rows.unevenness(even) < 2 < 20 < rows.unevenness(late)
    assert rows.unevenness(rows.redrawn(late, seed=1)) < 2
    assert rows.redrawn(late, seed=1).groupby("user")["test"].sum().eq(4).all()
    items = rows.by_place(late)
    assert len(items) == 40 and items["place"].corr(items["share"]) > 0.9
    assert rows.told(tmp_path / "late", seed=1).startswith("| late | ")
