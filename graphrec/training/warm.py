"""From an earlier model to one on newer data: what both know is taken over, by id.

n nodes that both know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec.data import Dataset, Part
from graphrec.errors import CombinationError, UnknownNameError
from graphrec.graph import rows_csr
from graphrec.models import Fused, Joint, Model, TrainedModel, model_class, views_of


@dataclass(frozen=True, eq=False)
class Start:
    """A fitted model and the data it was fitted on.

    Args:
        dataset: whose ids name the nodes of ``model``.
        model: fitted.
        parts: whose rows it was fitted on.
    """

    dataset: Dataset
    model: Model
    parts: tuple[Part, ...] = (Part.FIT,)

    def known_rows(self, dataset: Dataset) -> dict[str, int]:
        """How many of a newer data set's rows, by the part that they are held out in, this model was fitted on.

        What is measured on such rows is too good. It happens where parts were drawn anew, or where the model was
        refitted on all train rows.
        """
        seen, rows = rows_csr(self.dataset, self.parts), dataset.interactions
        users, items = self.dataset.users.lookup(dataset.users.array), self.dataset.items.lookup(dataset.items.array)
        pair = (seen.row_index() * seen.num_cols + seen.col).numpy()
        found = {}
        for part in (Part.SELECT, Part.BLEND, Part.TEST):
            chosen = rows.part == part
            user, item = users[rows.user[chosen]].astype(np.int64), items[rows.item[chosen]].astype(np.int64)
            both = (user >= 0) & (item >= 0)
            wanted = user[both] * seen.num_cols + item[both]
            place = np.searchsorted(pair, wanted).clip(max=max(len(pair) - 1, 0))
            found[part.name.lower()] = int((pair[place] == wanted).sum()) if len(pair) else 0
        return found

    def view(self, name: str) -> TrainedModel:
        """The view to start from, or for a fusion all of them; ``check`` knows whether they are there."""
        view = Joint(self.model) if isinstance(self.model, Fused) and name == Fused.name else views_of(self.model)[name]
        assert isinstance(view, TrainedModel)
        return view

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse to start models with these settings, by name, from this one.

        Raises:
            UsageError: it has no such view, or one of another width, with other heads or layers.
        """
        views = views_of(self.model)
        for name, mine in settings.items():
            if not issubclass(model_class(name), TrainedModel):
                continue
            if name not in views:
                raise UnknownNameError(f"the run to start from has no view {name}", f"it has {', '.join(views)}")
            theirs = views[name].settings
            for field in ("width", "layers", "heads", "score", "relation_gain", "pooling", "blocks", "history"):
                now, before = getattr(mine, field, None), getattr(theirs, field, None)
                if now != before:
                    hint = f"ask for --{field} {before}"
                    raise CombinationError(f"{field} of {name} is {now}, and {before} in the run to start from", hint)


def known_nodes(dataset: Dataset, earlier: Dataset) -> tuple[Tensor, Tensor]:
    """The nodes that both data sets have, by their ids: numbers in ``dataset`` and in ``earlier``, int64 [n] each.

    A user is known as a user alone, an item as an item, an entity as an entity.
    """
    now, before = [], []
    first_now = first_before = 0
    for kind in ("users", "items", "entities"):
        ids, old = getattr(dataset, kind), getattr(earlier, kind)
        place = old.lookup(ids.array)
        found = np.flatnonzero(place >= 0)
        now.append(found + first_now)
        before.append(place[found].astype(np.int64) + first_before)
        first_now, first_before = first_now + len(ids), first_before + len(old)
    return torch.from_numpy(np.concatenate(now)), torch.from_numpy(np.concatenate(before))


def take_over(view: TrainedModel, name: str, dataset: Dataset, start: Start) -> None:
    """Give a view the parameters of an earlier one: those of the nodes that both know, and those of no node.

    Nodes that the earlier one did not know start at zero, as newcomers do: their vectors follow from their neighbours.

    Args:
        view: on a graph of ``dataset``; overwritten.
        name: of the view, in both models.
        dataset: the newer data.
        start: the earlier model and its data.
    """
    view.take_over(start.view(name), *known_nodes(dataset, start.dataset))
