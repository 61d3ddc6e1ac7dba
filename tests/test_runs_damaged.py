"""A run folder that somebody has made up, or that was damaged: refused with a reason, and nothing of it is executed.

``reseal`` writes the digests anew, as somebody would who wants a file to be believed; without it the digests speak.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import graphrec
from graphrec.errors import RunError
from graphrec.runs import load_run
from graphrec.runs.stored import digests
from tests.cli.calling import call_graphrec
from tests.worlds import small_world

WORLD = small_world()
WEIGHTS, VECTORS, MODEL = "model/weights.safetensors", "model/vectors/lightgcn.npy", "model/model.json"
HUGE = 10**18


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    graphrec.train(WORLD, "lightgcn", epochs=1, width=8, layers=1, batch_size=1024).save(folder / "lightgcn")
    graphrec.train(WORLD, "item_knn").save(folder / "item_knn")
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "lightgcn", tmp_path / "run"))


def edit(path: Path, **fields: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def reseal(run: Path) -> None:
    edit(run / MODEL, sha256=digests(run))


def refused(run: Path, message: str) -> None:
    """Loading names the file and the reason; on the command line that is a line or two, and exit status 1."""
    with pytest.raises(RunError, match=message):
        load_run(run)
    told = call_graphrec("recommend", run, "--user", WORLD.users.names([0])[0])
    assert told.status == 1 and told.out == ""
    assert told.err.startswith("graphrec: ") and len(told.err.splitlines()) <= 2 and "unexpected" not in told.err


def test_loading_reads_no_pickle(run: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    for file in (WEIGHTS, VECTORS, "ids/items.parquet"):
        before = (run / file).read_bytes()
        (run / file).write_bytes(pickle.dumps(Trap()))
        reseal(run)
        refused(run, rf"damaged: .*{file}: ")
        (run / file).write_bytes(before)
    np.save(run / VECTORS, np.array([Trap()] * 100, dtype=object))
    reseal(run)
    refused(run, r"damaged: .*lightgcn\.npy: ")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "lightgcn/../../x"])
def test_names_that_climb_out_are_no_names(run: Path, name: str) -> None:
    edit(run / MODEL, vectors={name: [100, 8]})
    refused(run, "vectors of other views")
    edit(run / MODEL, vectors={"lightgcn": [100, 8]}, sha256=digests(run) | {name: "0" * 64})
    refused(run, "is missing")
    config = run / "config.toml"
    config.write_text(config.read_text().replace('model = "lightgcn"', f'model = "{name}"'))
    edit(run / MODEL, sha256=digests(run))
    refused(run, "unknown model")


def test_features_whose_names_climb_out(run: Path) -> None:
    for features in ({"item": {"../../x": 2}}, {"../../x": {"text": 2}}):
        edit(run / "dataset.json", features=features)
        reseal(run)
        refused(run, r"dataset\.json: features.*: string should match pattern")


def header_of_weights(run: Path, **about: Any) -> None:
    content = (run / WEIGHTS).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.dumps({"table": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]} | about}).encode()
    (run / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


def header_of_vectors(run: Path, dtype: str = "<f4", shape: tuple[int, ...] = (HUGE, 8)) -> None:
    values = np.load(run / VECTORS).tobytes()
    with (run / VECTORS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        file.write(values)


def deep_header_of_vectors(run: Path) -> None:
    text = ("-" * 9000 + "1\n").encode()
    (run / VECTORS).write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (header_of_weights, rf"{WEIGHTS}: "),
        (lambda run: header_of_weights(run, shape=[2**40, 2**40]), rf"{WEIGHTS}: "),
        (lambda run: (run / WEIGHTS).write_bytes(b"\xff" * 8 + b"{}"), rf"{WEIGHTS}: "),
        (header_of_vectors, r"lightgcn\.npy: its header says float32 \[10{18}, 8\], which is 32,0.* bytes"),
        (lambda run: header_of_vectors(run, shape=(HUGE, HUGE)), r"lightgcn\.npy: its header says"),
        (lambda run: header_of_vectors(run, shape=(-100, -8)), r"lightgcn\.npy: its header says"),
        (lambda run: header_of_vectors(run, "<f4", (99, 8)), r"lightgcn\.npy: its header says"),
        (lambda run: header_of_vectors(run, "<i4", (100, 8)), r"lightgcn\.npy: holds int32"),
        (deep_header_of_vectors, r"lightgcn\.npy: "),
    ],
)
def test_headers_are_held_against_the_file(run: Path, change: Callable[[Path], None], message: str) -> None:
    change(run)
    reseal(run)
    refused(run, message)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("width = 4194304", r"size mismatch for table.*\[100, 4194304\]"),
        ("width = 1000000000000", "size mismatch for table"),
        ("layers = 1000000000", "layers must be <= 64"),
    ],
)
def test_settings_allocate_nothing(run: Path, setting: str, message: str) -> None:
    path, name = run / "config.toml", setting.partition(" ")[0]
    lines = [setting if line.startswith(f"{name} = ") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    before = getrusage(RUSAGE_SELF).ru_maxrss
    refused(run, message)
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 400_000  # KB; a table of that width would take four times that


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite(run: Path, value: float, dtype: torch.dtype) -> None:
    weights = load_file(run / WEIGHTS)
    weights["table"][3, 2] = value
    if dtype == torch.bfloat16:
        config = run / "config.toml"
        config.write_text(
            config.read_text().replace('storage = "float32"', 'storage = "bfloat16"').replace('"full"', '"neighbor"')
        )
    save_file({"table": weights["table"].to(dtype)}, run / WEIGHTS)
    reseal(run)
    refused(run, r"weights\.safetensors: table holds numbers that are not finite")


def test_vectors_that_are_not_finite(run: Path) -> None:
    vectors = np.load(run / VECTORS)
    vectors[99, 7] = np.inf
    np.save(run / VECTORS, vectors)
    reseal(run)
    refused(run, r"lightgcn\.npy: holds numbers that are not finite")


@pytest.mark.parametrize("change", ["wrong type", "missing", "one more"])
def test_weights_of_another_model(run: Path, change: str) -> None:
    table = load_file(run / WEIGHTS)["table"]
    wrong = {
        "wrong type": {"table": table.double()},
        "missing": {},
        "one more": {"table": table, "other": table[:1].clone()},
    }
    save_file(wrong[change], run / WEIGHTS)
    reseal(run)
    refused(run, r"weights\.safetensors: (table|other) is torch|weights\.safetensors: table is absent, and must be")


@pytest.mark.parametrize(("name", "value"), [("col", 10**6), ("col", -1), ("rowptr", 10**9)])
def test_numbers_that_compiled_code_would_follow(whole: Path, tmp_path: Path, name: str, value: int) -> None:
    run = Path(shutil.copytree(whole / "item_knn", tmp_path / "run"))
    weights = load_file(run / WEIGHTS)
    weights[name][1] = value
    save_file(weights, run / WEIGHTS)
    reseal(run)
    refused(run, r"weights\.safetensors: (col|rowptr)")


@pytest.mark.parametrize("file", [WEIGHTS, VECTORS, "ids/users.parquet", "tables/interactions/user.npy"])
def test_what_is_not_what_it_was(run: Path, file: str) -> None:
    content = bytearray((run / file).read_bytes())
    content[-60] ^= 1
    (run / file).write_bytes(content)
    refused(run, rf"damaged: {file} is not the file that the run was finished with\nrestore it")
    (run / file).write_bytes(content[:-100])
    refused(run, rf"damaged: {file} is not the file")
    reseal(run)
    refused(run, "damaged: ")
    (run / file).unlink()
    reseal(run)
    refused(run, "damaged: ")


def test_a_file_that_was_not_there(run: Path) -> None:
    pq.write_table(pa.table({"title": ["x"] * WORLD.num_users}), run / "tables" / "users.parquet")
    refused(run, r"tables/users\.parquet is not the file that the run was finished with")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (MODEL, "[1]", "no JSON object"),
        (MODEL, '{"a":' * 100_000, "nested too deeply"),
        (MODEL, "{}", "has format None, this graphrec reads format 2"),
        (MODEL, '{"format": 3}', "newer graphrec"),
        (MODEL, '{"format": 2, "model": 7, "vectors": {}, "sha256": {}}', r"model\.json: .*model"),
        ("metrics.json", "[]", r"metrics\.json: no JSON object"),
        ("metrics.json", "[" * 100_000, r"metrics\.json: nested too deeply"),
        ("metrics.json", "{}", r"metrics\.json: it lacks epochs, fusion, valid"),
        ("config.toml", "a = " + "[" * 100_000, "recursion"),
        ("config.toml", 'model = "lightgcn"\ncolour = "red"', "colour"),
        ("config.toml", 'model = "lightgcn"\n[models.lightgcn]\ncolour = "red"', "no setting 'colour'"),
        ("config.toml", 'model = "gat"', "it is of lightgcn, and config.toml of gat"),
        ("history.csv", "", r"history\.csv: "),
    ],
)
def test_text_that_says_something_else(run: Path, file: str, text: str, message: str) -> None:
    (run / file).write_text(text)
    refused(run, message)


def ids(run: Path, names: list[Any]) -> None:
    pq.write_table(pa.table({"id": names}), run / "ids" / "items.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: ids(run, [f"i{n}" for n in range(39)]), r"items\.parquet: 39 ids do not match"),
        (lambda run: ids(run, ["i0", *[f"i{n}" for n in range(39)]]), r"items\.parquet: holds an id twice"),
        (lambda run: ids(run, [None, *[f"i{n}" for n in range(39)]]), r"items\.parquet: not a list of ids"),
        (lambda run: ids(run, [0.5] * 40), r"items\.parquet: not a list of ids"),
        (lambda run: (run / "ids/items.parquet").write_bytes(b"PAR1" * 9), r"items\.parquet: not a list of ids"),
        (lambda run: edit(run / "dataset.json", version=3), r"version 3, this graphrec reads version 2"),
        (lambda run: edit(run / "dataset.json", counts={"users": 60}), r"dataset\.json: counts\.items: field required"),
        (lambda run: edit(run / "dataset.json", relations="by"), r"dataset\.json: relations"),
        (lambda run: edit(run / "dataset.json", columns=["user", "../x"]), r"dataset\.json: columns\.1"),
        (lambda run: edit(run / "dataset.json", relations=[]), r"knowledge\.parquet: relation holds numbers outside"),
    ],
)
def test_ids_and_tables(run: Path, change: Callable[[Path], None], message: str) -> None:
    change(run)
    reseal(run)
    refused(run, message)


def test_many_equal_ids_in_a_small_file(run: Path) -> None:
    """A million equal ids are a few hundred bytes of Parquet: a claim that is not read."""
    ids(run, ["i"] * 10**6)
    counts = json.loads((run / "dataset.json").read_text())["counts"]
    edit(run / "dataset.json", counts=counts | {"items": 10**6})
    reseal(run)
    refused(run, r"items\.parquet: 1,000,000 ids do not match")
