"""How fast this machine is: a few training steps, and a sparse product by which views without gradients are judged.

U users, I items, R rows, n singular vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from graphrec.config import RunConfig
from graphrec.evaluation import evaluate
from graphrec.graph import HeteroGraph
from graphrec.models import EmbeddingModel, TrainedModel, build_model
from graphrec.models.fused_settings import FusedSettings
from graphrec.models.item_item import structure
from graphrec.models.spectral import rank_on
from graphrec.sampling import generator_for
from graphrec.sparse import CSR
from graphrec.training.fitting import checked_device, keep_rows
from graphrec.training.inference import settle_vectors
from graphrec.training.stacking import FIRST_USERS, MAX_FIT_USERS, MAX_JUDGES
from graphrec.training.steps import make_batches, make_step

Clock = Callable[[], float]

WARM_STEPS, STEPS, SECONDS = 4, 8, 3.0  # not timed; timed; but not for longer
SAMPLE_USERS = 200
SAMPLE_PAIRS = 10_000_000

# Work in pairs of items that somebody used both of, R·(U's mean), relative to multiplying them; from the seconds that
# fitting takes on Gowalla, see docs/results.md.
PAIRS_OF = {"popularity": 0.0, "item_knn": 1.5, "rp3beta": 1.0, "knowledge_knn": 1.5, "slim": 12.0, "ease": 1.0}
EASE = 1 / 2600  # and for each of I³
SPECTRAL = 4.0  # for each of R·n
FILTERED = 1 / 160  # and for each of I·(I·n + 4R), where every item is filtered for a table
# and for each score of a view in a fusion, from weighing five views there, spectral one of them: of people who fit or
# judge, of people whose lists are made, and of a candidate in each of so many evaluations of the loss
WEIGHED, LISTED, COMPARED, EVALUATIONS = 0.75, 0.6, 1 / 30, 30


@dataclass(frozen=True)
class Pace:
    """Seconds that a trained view takes.

    Args:
        epoch: of training; judging: of one evaluation on the select rows.
    """

    epoch: float
    judging: float


def pairs_per_second(seen: CSR, clock: Clock) -> float:
    """How many pairs of used items this machine multiplies in a second."""
    work = np.cumsum(seen.degree.cpu().numpy().astype(np.float64) ** 2)
    users = max(1, int(np.searchsorted(work, SAMPLE_PAIRS, side="right"))) if len(work) else 0
    rows = structure(seen)[:users]
    begun = clock()
    (rows.T.tocsr() @ rows).sum()
    return (work[users - 1] if users else 0.0) / max(clock() - begun, 1e-6) or 1.0


def seconds_to_fit(view: str, graph: HeteroGraph, config: RunConfig, speed: float) -> float:
    """About how long a view without gradients takes to compute.

    Args:
        view: name.
        graph: to fit it on.
        config: its settings.
        speed: of ``pairs_per_second``.
    """
    model, seen = view.partition("-")[0], graph.seen
    if model in ("spectral", "spectral_knn"):
        rank, items = rank_on(graph, config.models[view]), graph.num_items
        table = items * (items * rank + 4 * seen.num_edges) if model == "spectral_knn" else 0
        return (SPECTRAL * seen.num_edges * rank + FILTERED * table) / speed
    work = PAIRS_OF.get(model, 1.0) * float((seen.degree.double() ** 2).sum())
    return (work + (EASE * graph.num_items**3 if model == "ease" else 0.0)) / speed


def seconds_to_fuse(views: int, graph: HeteroGraph, select: CSR, settings: FusedSettings, speed: float) -> float:
    """About how long it takes to fit the weights of so many views, to judge them, and to list items by them.

    Args:
        views: how many.
        graph: the views are fitted on.
        select: CSR [U, I], the rows that judge the fusion.
        settings: of the fusion.
        speed: of ``pairs_per_second``, on one of the threads that there are.
    """
    work = LISTED * views * graph.num_items * int((select.degree > 0).sum())
    if views > 1:
        fitted, judges = (min(graph.num_users, 2 * most) for most in (MAX_FIT_USERS, MAX_JUDGES))  # of both halves
        work += WEIGHED * views * graph.num_items * (fitted * (1 + 1 / FIRST_USERS) + judges)
        candidates = min(graph.num_items, (views + 1) * settings.candidates + settings.negatives)
        work += COMPARED * views * candidates * 2 * fitted * EVALUATIONS * (views + 1)  # by halves, and as a whole
    return work / speed / torch.get_num_threads()


def measure(view: str, graph: HeteroGraph, config: RunConfig, select: CSR, clock: Clock) -> Pace:
    """How long a trained view takes: a few of its steps, and the lists of a few users.

    Args:
        view: name.
        graph: to train it on.
        config: how; of a single model or of a fusion.
        select: CSR [U, I], the rows that judge.
        clock: seconds.
    """
    model = build_model(view, graph, config.models)
    assert isinstance(model, TrainedModel)
    model.reset(generator_for(config.seed, device=graph.device))
    training = config.training_of(view)
    batches = make_batches(model, training, config.seed)
    step = make_step(model, training, batches, checked_device(config.device))
    model.train()
    epochs = itertools.chain.from_iterable(step.prepared(batches.epoch(epoch, 0)) for epoch in itertools.count(1))
    for batch in itertools.islice(epochs, WARM_STEPS):
        float(step(batch))
    begun, done = clock(), 0
    while done == 0 or (done < STEPS and clock() - begun < SECONDS):
        float(step(next(epochs)))
        done += 1
    return Pace((clock() - begun) / done * len(batches), _judging(model, select, clock))


def _judging(model: TrainedModel, select: CSR, clock: Clock) -> float:
    """Seconds of one evaluation: the vectors of all nodes, then lists, timed on a few users."""
    people = (select.degree > 0).nonzero()[:, 0]
    if not len(people):
        return 0.0
    model.eval()
    begun = clock()
    if isinstance(model, EmbeddingModel):
        settle_vectors(model, None)
    model.score_block(people[:1])
    ready, some = clock(), keep_rows(select, people[:SAMPLE_USERS])
    evaluate(model.score_block, train=model.graph.seen, test=some, ks=(20,))
    return ready - begun + (clock() - ready) * len(people) / min(len(people), SAMPLE_USERS)
