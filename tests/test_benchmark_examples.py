"""The scripts in examples/benchmarks in small: how they talk to a peer, how they refuse, what their tables say."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from graphrec.data import Part
from graphrec.graph import build_graph
from graphrec.models import SpectralSettings
from tests.worlds import small_world

FOLDER = Path(__file__).parent.parent / "examples" / "benchmarks"

# What peer_worker.py uses of LightGCN-PyTorch, without the mathematics.
STAND_IN = {
    "world.py": """
        import sys
        assert sys.argv[1:] == ["--layer=3", "--recdim=64", "--bpr_batch=2048", "--tensorboard=0"]
        config, device = {"decay": 1e-4}, "cpu"
    """,
    "dataloader.py": """
        import scipy.sparse as sp
        class Loader:
            def __init__(self, path):
                print("what a library prints is no answer")
                lines = [line.split() for line in open(path + "/train.txt")]
                self.n_users, self.m_items, self.trainDataSize = len(lines), 4, sum(len(line) - 1 for line in lines)
            def getSparseGraph(self):
                assert self.Graph is None
                self.Graph = sp.eye(self.n_users + self.m_items)
                sp.save_npz("/a/folder/that/is/not/there.npz", self.Graph)
    """,
    "model.py": """
        import torch
        class LightGCN(torch.nn.Linear):
            def __init__(self, config, data):
                assert data.Graph is not None
                super().__init__(1, 1)
    """,
    "utils.py": """
        import numpy
        class BPRLoss:
            def __init__(self, model, config):
                assert model.training and config["decay"] == 1e-4
            def stageOne(self, users, positive, negative):
                assert users.tolist() == [0, 0] and positive.tolist() == [1, 1] and negative.tolist() == [2, 2]
        def UniformSample_original(data):
            return numpy.array([[0, 1, 2]] * 4)
        def shuffle(*arrays):
            return arrays
        def minibatch(*tensors):
            yield from zip(*(tensor.split(2) for tensor in tensors))
    """,
}


def load(name: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Three users, four items, seven interactions."""
    folder = tmp_path / "graph"
    folder.mkdir()
    (folder / "train.txt").write_text("0 0 1\n1 1 2\n2 0 2 3\n")
    (folder / "test.txt").write_text("0 2\n1 0\n2 1\n")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like LightGCN-PyTorch."""
    code = tmp_path / "checkout" / "code"
    code.mkdir(parents=True)
    for name, text in STAND_IN.items():
        (code / name).write_text("\n".join(line[8:] for line in text.splitlines()))
    return code.parent


def peers(*arguments: str | Path) -> None:
    """A run of peers.py with the least it can measure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["peers.py", *map(str, arguments), "--rounds=1", "--steps=2"])
        load("peers").main()


def test_ours_beside_a_checkout(
    graph: Path, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers(graph, f"--lightgcn-pytorch={checkout}", f"--json={tmp_path / 'rows.json'}")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["work"].split(":")[0] for row in rows] == ["LightGCN training step", "building the graph, normalised"]
    for row in rows:
        assert list(row) == ["work", "ours_s", "peer", "peer_s", "ratio"]
        assert row["peer"] == "LightGCN-PyTorch" and row["ratio"] == row["peer_s"] / row["ours_s"] > 0
    assert capsys.readouterr().out.count("| LightGCN-PyTorch |") == 2


def test_libraries_that_read_different_graphs_are_not_compared() -> None:
    ours, peer = (SimpleNamespace(name=name, read={"users": users}) for name, users in (("ours", 3), ("theirs", 4)))
    load("peers").check([ours, ours])
    with pytest.raises(SystemExit, match=r"theirs read \{'users': 4\}, ours read \{'users': 3\}"):
        load("peers").check([ours, peer])


@pytest.mark.parametrize("name", ["world.py", "model.py"])
def test_a_peer_that_stops_is_quoted(name: str, graph: Path, checkout: Path, tmp_path: Path) -> None:
    with (checkout / "code" / name).open("a") as code:
        code.write("\nraise ValueError('no such thing')")
    module = load("peers")
    called, command = module.lightgcn_pytorch(checkout)
    with pytest.raises(SystemExit, match=r"LightGCN-PyTorch stopped(.|\n)*ValueError: no such thing"):
        module.Worker(called, [*command, str(graph)], tmp_path)


def test_a_peer_that_stops_later_is_quoted(graph: Path, checkout: Path, tmp_path: Path) -> None:
    module = load("peers")
    called, command = module.lightgcn_pytorch(checkout)
    with module.Worker(called, [*command, str(graph)], tmp_path) as worker:
        assert worker.read["interactions"] == 7
        with pytest.raises(SystemExit, match=r"LightGCN-PyTorch stopped(.|\n)*has no attribute 'loss'"):
            worker.ask("step")  # without a model


def test_what_is_not_there_is_named(
    graph: Path, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        ([graph], "name a peer"),
        ([tmp_path, f"--lightgcn-pytorch={checkout}"], f"{tmp_path} has no train.txt"),
        ([graph, f"--lightgcn-pytorch={tmp_path}"], f"{tmp_path} has no code/dataloader.py"),
        ([graph, f"--recbole={sys.executable}"], f"{sys.executable} holds no RecBole"),
        ([graph, f"--recbole={tmp_path}"], f"{tmp_path} is no interpreter"),
    ):
        with pytest.raises(SystemExit) as stopped:
            peers(*arguments)
        assert said in f"{stopped.value}{capsys.readouterr().err}"


def test_pairs_as_recbole_reads_them(graph: Path, tmp_path: Path) -> None:
    load("peer_worker").write_atomic(graph / "train.txt", tmp_path / "pairs.inter")
    assert (tmp_path / "pairs.inter").read_text().splitlines() == [
        "user_id:token\titem_id:token",
        *("0\t0", "0\t1", "1\t1", "1\t2", "2\t0", "2\t2", "2\t3"),
    ]


def test_each_epoch_of_recbole_is_drawn_anew() -> None:
    batches = load("peer_worker").endless(range(2))
    assert [next(batches) for _ in range(5)] == [0, 1, 0, 1, 0]


def test_growth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    growth = load("growth")

    def measured(*, edges: int, repeats: int, peer: bool) -> list[dict[str, object]]:
        assert repeats == 2
        beside = {"peer": "PyG GATConv", "peer_s": 4.0, "ratio": 4.0} if peer else {"peer": None, "ratio": None}
        return [{"work": "layer", "ours_s": edges**2 / 100, **beside, "ours_mb": 1200.4, "floor_s": edges / 50}]

    monkeypatch.setattr(growth, "run_bench", measured)
    sizes = ["--edges", "30", "10", "--peer-up-to", "10", "--repeats", "2"]
    monkeypatch.setattr(sys, "argv", ["growth.py", *sizes, "--json", str(tmp_path / "rows.json")])
    growth.main()
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["edges"] for row in rows] == [10, 30]
    assert [row["times_floor"] for row in rows] == pytest.approx([1.0 / 0.2, 9.0 / 0.6])
    assert [row["growth"] for row in rows] == pytest.approx([1, 3])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| layer | 10 | 1.000 | 1,200 | 4.0 × PyG GATConv | 0.2000 | 5.0 | 1.00 |",
        "| layer | 30 | 9.000 | 1,200 | – | 0.6000 | 15.0 | 3.00 |",
    ]


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    load("lists").main(["--users=50", "--items=3000", "--width=8", "--json"])
    row = json.loads(capsys.readouterr().out)
    assert row["same_items"] and row["rank_users_per_s"] > 0 and row["rank_vectors_users_per_core_s"] > 0


def test_fusing(capsys: pytest.CaptureFixture[str]) -> None:
    load("fusing").main(["--views=3", "--people=30", "--items=200", "--candidates=40"])
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["sum", "loss"]
    assert all(float(line.split()[-1]) < 1e-4 for line in lines)


def test_the_plain_form_of_spectral_is_the_model() -> None:
    script, settings = load("spectral"), SpectralSettings(rank=3, order=4)
    graph = build_graph(small_world(num_users=80, num_items=50), (Part.FIT,))
    values, scores = zip(*(form(graph, settings) for form in script.FORMS.values()), strict=True)
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    users = torch.arange(80)
    assert torch.allclose(scores[0](users), scores[1](users), atol=1e-4)
