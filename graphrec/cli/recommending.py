"""recommend, similar and explain: what a trained run is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphrec.cli import options as o
from graphrec.cli.console import emit_json, emit_table, say
from graphrec.errors import CombinationError, Interrupted

if TYPE_CHECKING:
    import pandas as pd

    from graphrec.reasons import ExplainedPair
    from graphrec.recommender import Recommender


def _people(*names: str, metavar: str, help_text: str) -> typer.models.OptionInfo:
    return typer.Option(*names, metavar=metavar, help=help_text, rich_help_panel="For whom (one of these)")


def recommend(
    run: o.RunFolder,
    user: Annotated[list[str] | None, _people("--user", metavar="ID", help_text="A known user; repeatable.")] = None,
    users_file: Annotated[
        Path | None, _people("--users-file", metavar="FILE", help_text="Known users, one a line.")
    ] = None,
    all_users: Annotated[bool, _people("--all-users", metavar="", help_text="Every known user.")] = False,
    history: Annotated[
        str | None, _people("--history", metavar="ID,ID", help_text="Someone new, by the items they used.")
    ] = None,
    k: o.Count = 10,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items that the user has used.")] = False,
    items_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Rank only these items, one a line.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="ID", help="Never this item; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a .parquet or .csv file instead.")] = None,
    as_json: o.Json = False,
) -> None:
    """Recommend items: for known users, or for someone new."""
    ways = {"--user": user, "--users-file": users_file, "--all-users": all_users, "--history": history}
    _exactly_one(ways)
    if out is not None:
        _check_out(out)
    users = user or (o.read_lines(users_file, "--users-file") if users_file else None)
    items = o.read_lines(items_file, "--items-file") if items_file else None
    past = o.split_names(history, "--history") if history is not None else None
    recommender = _load(run)
    if out is not None and past is None and not as_json:
        _stream(recommender, out, users, k=k, filter_seen=not include_seen, items=items, exclude=exclude or None)
        return
    found = recommender.recommend(
        users, history=past, k=k, filter_seen=not include_seen, items=items, exclude=exclude or None
    )
    if out is not None:
        escaped = _write(found, out)
        say(f"{len(found):,} rows are in {out}")
        _say_escaped(escaped)
    if as_json:
        emit_json(_records(found))
    elif out is None:
        _show(recommender, found, "item_id")
    _tell_short(found, k)


def similar(
    run: o.RunFolder,
    item: Annotated[list[str] | None, typer.Option(metavar="ID", help="Items like this one; repeatable.")] = None,
    user: Annotated[list[str] | None, typer.Option(metavar="ID", help="Users like this one; repeatable.")] = None,
    k: o.Count = 10,
    as_json: o.Json = False,
) -> None:
    """The items most like an item, or the users most like a user."""
    _exactly_one({"--item": item, "--user": user})
    recommender = _load(run)
    found = recommender.similar_items(item, k) if item else recommender.similar_users(user or [], k)
    if as_json:
        emit_json(_records(found))
    else:
        _show(recommender, found, "similar_id" if item else None)


def explain(
    run: o.RunFolder,
    user: Annotated[str, typer.Option(metavar="ID", help="A known user.")],
    item: Annotated[str, typer.Option(metavar="ID", help="An item of the catalogue.")],
    paths: Annotated[int, typer.Option(metavar="N", min=0, help="Paths to show, at most.")] = 5,
    as_json: o.Json = False,
) -> None:
    """Why a user gets an item: which view spoke, over which paths, and what the score is without them."""
    found = _load(run).explain(user, item, count=paths)
    if as_json:
        from dataclasses import asdict

        emit_json(asdict(found))
    else:
        _show_explanation(found)


def _exactly_one(ways: dict[str, Any]) -> None:
    given = [name for name, value in ways.items() if value]
    if len(given) != 1:
        raise CombinationError(f"give one of {', '.join(ways)}; got {' and '.join(given) or 'none'}")


def _check_out(out: Path) -> None:
    from graphrec.files import table_format

    table_format(out, "--out")


def _load(run: Path) -> Recommender:
    from graphrec.recommender import load

    return load(run)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON-able mappings."""
    columns = [table[name].tolist() for name in table.columns]
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _show(recommender: Recommender, table: pd.DataFrame, titled: str | None) -> None:
    """A table for people, with titles of the items in column ``titled`` where there are any."""
    columns = {name: table[name].tolist() for name in table.columns}
    if titled and len(table):
        dataset = recommender.dataset
        titles = [dataset.item_title(int(index)) for index in dataset.items.lookup(columns[titled])]
        if any(titles):
            columns["title"] = titles
    emit_table(list(columns), zip(*columns.values(), strict=True))


def _write(table: pd.DataFrame, out: Path) -> int:
    """Write a table; gives how many cells of a CSV file were escaped."""
    import pyarrow as pa

    from graphrec.files import atomic_path, table_format
    from graphrec.recommender import write_csv

    with atomic_path(out) as temporary:
        if table_format(out) == "parquet":
            table.to_parquet(temporary, index=False)
            return 0
        with temporary.open("w", encoding="utf-8", newline="") as file:
            return write_csv(pa.Table.from_pandas(table, preserve_index=False), file)


def _say_escaped(count: int) -> None:
    if count:
        say(f"{count:,} ids begin with = + - @ ' or white space: in the CSV an apostrophe stands before each of them")


def _stream(recommender: Recommender, out: Path, users: list[str] | None, *, k: int, **options: Any) -> None:
    """Write lists into a file, a block of users at a time."""
    from graphrec.cli.progress import following_users

    try:
        with following_users() as on_block:
            written = recommender.recommend_to(out, users, k=k, on_block=on_block, **options)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; call the same again to go on from what is in {out}.parts") from None
    say(f"{written.rows:,} rows are in {out}")
    _say_escaped(written.escaped)
    _say_short(written.lists, written.short, k)


def _tell_short(table: pd.DataFrame, k: int) -> None:
    """Say so where a list is shorter than was asked for."""
    lengths = table.groupby("user_id", dropna=False, sort=False).size()
    _say_short(len(lengths), int((lengths < k).sum()), k)


def _say_short(lists: int, short: int, k: int) -> None:
    if not lists:
        say("nothing can be ranked: every item is used already or left out")
    elif short:
        say(f"{short:,} of {lists:,} lists are shorter than {k:,}: no more items can be ranked")


def _show_explanation(found: ExplainedPair) -> None:
    emit_table(
        [f"{found.user_id} → {found.title}", "part of the score"],
        [*found.views.items(), ("score", found.score)],
    )
    if not found.reasons:
        say("no path of at most three steps joins them")
        return
    rows = [[reason.text, reason.weight, reason.effect] for reason in found.reasons]
    emit_table([f"path ({found.path_view})", "weight", "effect"], rows)
    say("weight: how strongly the path sends in the model; effect: what the score loses without it")
