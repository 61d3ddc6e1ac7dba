"""evaluate, recommend, similar and explain: shapes for programs, words for people, mistakes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from graphrec.cli import progress
from graphrec.recommender import Advance
from tests.cli.calling import QUICK, Call


def test_evaluate(call: Call, run: Path) -> None:
    done = call("evaluate", run, "--k", "5,20", "--json")
    assert done.status == 0, done.err
    found = done.json
    assert set(found) == {"runs", "paired"}
    (judged,) = found["runs"]
    assert judged["run"] == str(run)
    assert {"recall@5", "recall@20", "ndcg@20"} <= set(judged["test"])
    assert set(judged["baselines"]) == {"popularity", "item_knn"}
    assert {pair["b"] for pair in found["paired"]} == {"popularity", "item_knn"}
    people = call("evaluate", run)
    assert "recall@20" in people.out
    assert "p_value" in people.out
    assert (run / "test_reads.jsonl").read_text().count("\n") == 2


def test_evaluate_compares_runs(call: Call, run: Path, graph: Path, tmp_path: Path) -> None:
    other = tmp_path / "knn"
    assert call("train", graph, "--model=item_knn", "--out", other).status == 0
    pairs = call("evaluate", run, other, run, "--json").json["paired"]
    assert [(pair["a"], pair["b"]) for pair in pairs[:2]] == [(str(run), str(other))] * 2


@pytest.mark.parametrize("lengths", ["0", "ten", "10,,20", "-5"])
def test_evaluate_with_wrong_lengths(call: Call, run: Path, lengths: str) -> None:
    assert call("evaluate", run, f"--k={lengths}").status == 2


def test_recommend_as_json(call: Call, run: Path) -> None:
    rows = call("recommend", run, "--user=alice", "--user=bob", "--k=3", "--json").json
    assert [list(row) for row in rows] == [["user_id", "item_id", "score", "rank"]] * 6
    assert [row["rank"] for row in rows] == [1, 2, 3, 1, 2, 3]
    assert [row["user_id"] for row in rows] == ["alice"] * 3 + ["bob"] * 3
    assert isinstance(rows[0]["score"], float)


def test_recommend_for_people_shows_titles(call: Call, run: Path, tables: Path) -> None:
    item = call("recommend", run, "--user=alice", "--k=1", "--json").json[0]["item_id"]
    title = pd.read_csv(tables / "items.csv").set_index("item_id").title[item]
    assert title in call("recommend", run, "--user=alice", "--k=1").out


def test_recommend_leaves_out_what_was_seen_and_what_is_excluded(call: Call, run: Path, tables: Path) -> None:
    everything = ("recommend", run, "--user=alice", "--k=40", "--json")
    offered = {row["item_id"] for row in call(*everything).json}
    every = call(*everything, "--include-seen").json
    assert len(every) == 40 > len(offered)
    first = every[0]["item_id"]
    left = {row["item_id"] for row in call(*everything, "--include-seen", "--exclude", first).json}
    assert left == {row["item_id"] for row in every} - {first}


def test_recommend_from_files(call: Call, run: Path, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("bob\n\nalice\n")
    (tmp_path / "items.txt").write_text("i1\ni2\ni3\n")
    rows = call(
        *("recommend", run, "--users-file", tmp_path / "users.txt", "--items-file", tmp_path / "items.txt"),
        *("--include-seen", "--json"),
    ).json
    assert [row["user_id"] for row in rows] == ["bob"] * 3 + ["alice"] * 3
    assert {row["item_id"] for row in rows} == {"i1", "i2", "i3"}
    assert call("recommend", run, "--users-file", tmp_path / "absent.txt").status == 2


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_recommend_into_a_file(call: Call, run: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"top{suffix}"
    done = call("recommend", run, "--all-users", "--k=2", "--out", out)
    assert (done.status, done.out) == (0, "")
    table = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out)
    assert list(table.columns) == ["user_id", "item_id", "score", "rank"]
    assert len(table) == 120
    assert call("recommend", run, "--all-users", "--out", tmp_path / "top.xlsx").status == 2


def test_recommend_for_someone_new(call: Call, run: Path) -> None:
    rows = call("recommend", run, "--history", "i3,i9", "--k=5", "--json").json
    assert len(rows) == 5
    assert {row["user_id"] for row in rows} == {None}
    assert not {"i3", "i9"} & {row["item_id"] for row in rows}
    assert call("recommend", run, "--history", "i3").status == 0


def test_a_list_longer_than_the_catalogue_gives_what_there_is(call: Call, run: Path) -> None:
    done = call("recommend", run, "--user=alice", "--k=10000", "--include-seen", "--json")
    assert len(done.json) == 40
    assert "1 of 1 lists are shorter than 10,000" in done.err


@pytest.mark.parametrize("ways", [(), ("--user=alice", "--all-users"), ("--history=i3", "--user=bob")])
def test_recommend_for_nobody_or_for_two_kinds(call: Call, run: Path, ways: tuple[str, ...]) -> None:
    done = call("recommend", run, *ways)
    assert done.status == 2
    assert "give one of --user" in done.err


def test_unknown_ids_name_the_nearest(call: Call, run: Path) -> None:
    for command in (("recommend",), ("similar",), ("explain", "--item=i9")):
        done = call(*command, run, "--user=alicia")
        assert done.status == 1
        assert "unknown user 'alicia'" in done.err
        assert "alice" in done.err
    assert call("recommend", run, "--history=i999").status == 1
    assert call("recommend", run, "--user=alice", "--k=0").status == 2


def test_similar(call: Call, run: Path) -> None:
    items = call("similar", run, "--item=i9", "--k=3", "--json").json
    assert [list(row) for row in items] == [["item_id", "similar_id", "score", "rank"]] * 3
    assert "i9" not in {row["similar_id"] for row in items}
    users = call("similar", run, "--user=alice", "--k=3", "--json").json
    assert [list(row) for row in users] == [["user_id", "similar_id", "score", "rank"]] * 3
    assert call("similar", run).status == 2
    assert "title" in call("similar", run, "--item=i9").out


def test_explain(call: Call, run: Path) -> None:
    item = call("recommend", run, "--user=alice", "--k=1", "--json").json[0]
    found = call("explain", run, "--user=alice", "--item", item["item_id"], "--json").json
    assert list(found) == ["user_id", "item_id", "title", "score", "views", "path_view", "reasons"]
    assert found["score"] == pytest.approx(item["score"], rel=1e-4)
    assert [set(reason) for reason in found["reasons"]] == [{"text", "weight", "effect"}] * len(found["reasons"])
    people = call("explain", run, "--user=alice", "--item", item["item_id"])
    assert found["title"] in people.out
    assert found["reasons"][0]["text"] in people.out


def test_a_foreign_or_damaged_run_folder(call: Call, run: Path, tables: Path, tmp_path: Path) -> None:
    foreign = call("recommend", tables, "--user=alice")
    assert foreign.status == 1
    assert "not a run folder" in foreign.err
    assert call("evaluate", run, tmp_path / "absent").status == 1


def test_someone_who_has_everything(call: Call, tmp_path: Path) -> None:
    rows = [("all", f"i{number}") for number in range(8)]
    rows += [(f"u{user}", f"i{item}") for user in range(8) for item in range(8) if (user + item) % 3]
    pd.DataFrame(rows, columns=["user_id", "item_id"]).to_csv(tmp_path / "rows.csv", index=False)
    held = pd.DataFrame([("u0", "i0"), ("u1", "i2")], columns=["user_id", "item_id"])
    held.to_csv(tmp_path / "test.csv", index=False)
    graph, run = tmp_path / "graph", tmp_path / "run"
    assert call("build", tmp_path / "rows.csv", "--test", tmp_path / "test.csv", "--out", graph).status == 0
    assert call("train", graph, "--model=lightgcn", *QUICK, "--out", run).status == 0
    done = call("recommend", run, "--user=all", "--json")
    assert (done.status, done.json) == (0, [])
    assert "nothing can be ranked" in done.err
    assert len(call("recommend", run, "--user=all", "--include-seen", "--json").json) == 8


def test_text_from_tables_is_not_taken_for_markup(call: Call, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("user_id,item_id\n" + "".join(f"u{n},i{n % 3}\n" for n in range(9)))
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"i{n},[red]title {n}[/red]\n" for n in range(3)))
    graph, run = tmp_path / "graph", tmp_path / "run"
    assert call("build", tmp_path / "rows.csv", "--items", tmp_path / "items.csv", "--out", graph).status == 0
    assert call("train", graph, "--model=popularity", "--out", run).status == 0
    assert "[red]title 1[/red]" in call("recommend", run, "--user=u0").out


def test_a_streamed_file_goes_on_or_starts_anew_and_says_so(call: Call, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "top.parquet"
    (tmp_path / "top.parquet.parts").mkdir()
    (tmp_path / "top.parquet.parts" / "asked.json").write_text("{}")
    (tmp_path / "users.txt").write_text("bob\nalice\n")
    done = call("recommend", run, "--users-file", tmp_path / "users.txt", "--k=50", "--out", out)
    assert done.status == 0, done.err
    assert "starting anew" in done.err and f"rows are in {out}" in done.err
    assert "2 of 2 lists are shorter than 50" in done.err
    assert list(dict.fromkeys(pd.read_parquet(out).user_id)) == ["bob", "alice"]
    both = call("recommend", run, "--user=alice", "--k=2", "--out", out, "--json")
    assert len(both.json) == 2 and len(pd.read_parquet(out)) == 2


def test_progress_in_words() -> None:
    assert progress.beginning(Advance(10, 40, 10, False, 0.0)) == "going on after 10 of 40 users"
    assert progress.beginning(Advance(0, 40, 0, False, 0.0)) == ""
    assert progress.beginning(Advance(20, 40, 10, True, 5.0)) == ""
    assert progress.time_left(Advance(20, 40, 10, False, 5.0)) == "about 10 s left"


def test_progress_on_a_terminal_and_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advances = [Advance(10, 40, 10, False, 0.0), Advance(20, 40, 10, False, 5.0), Advance(40, 40, 10, False, 9.0)]
    monkeypatch.setattr(progress, "EVERY", 0.0)
    for terminal in (True, False):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with progress.following_users() as on_block:
            for advance in advances:
                on_block(advance)
        shown = capsys.readouterr().err
        assert "going on after 10 of 40 users" in shown
        assert ("40/40" in shown) if terminal else ("20 of 40 users, about 10 s left" in shown)


def test_export(call: Call, run: Path, tmp_path: Path) -> None:
    done = call("export", run, "--out", tmp_path / "out", "--format=npy", "--json")
    assert done.status == 0, done.err
    (note,) = done.json
    assert (note["view"], note["format"], note["items"]) == ("gat", "npy", 40)
    assert (tmp_path / "out" / "items_ids.parquet").exists()
    assert "inner product" in call("export", run, "--out", tmp_path / "people").out
    assert call("export", run, "--out", tmp_path / "out").status == 1
    assert call("export", run, "--out", tmp_path / "x", "--format=hdf5").status == 2
