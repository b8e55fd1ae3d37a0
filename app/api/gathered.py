"""What the partitions of data by reference have come to so far: the state from which a job goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.api.evaluate import encodings_of
from app.api.specs import BoundSpec
from app.losses.batch import AnyBatch
from app.losses.merging import Tally
from app.serving.pieces import State

MOST_WARNINGS = 10
PARTIAL = {"binary", "one_hot"}
"""Encodings that are special cases of others: a part of the rows may look like one."""


@dataclass(frozen=True)
class Progress:
    """What the partitions that are done have come to."""

    files: Sequence[str]
    """All of them, as they were when the job began."""
    done: int = 0
    n_samples: int = 0
    blocks: int = 0
    tallies: Sequence[Tally] = ()
    loss: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The loss with every parameter."""
    form: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the rows of each array have in common."""
    deep: bool = False
    """Whether a sample has several elements."""
    encodings: Sequence[Any] = ()
    """Each one as which targets were read."""
    warnings: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """Of how many blocks each was said, and of which rows first."""

    @property
    def state(self) -> State:
        """The same as an array."""
        document = {**vars(self), "tallies": [tally.document for tally in self.tallies]}
        return {"progress": np.array(json.dumps(document))}

    @classmethod
    def read(cls, state: State) -> "Progress":
        document: dict[str, Any] = json.loads(str(state["progress"]))
        document["tallies"] = [Tally.read(tally) for tally in document["tallies"]]
        return cls(**document)

    def with_batch(self, batch: AnyBatch, spec: BoundSpec, found: Sequence[Tally], rows: str) -> "Progress":
        """With one more block."""
        warnings = dict(self.warnings)
        for warning in batch.warnings:
            if warning in warnings or len(warnings) < MOST_WARNINGS:
                count, first = warnings.get(warning, (0, rows))
                warnings[warning] = (count + 1, first)
        encoding = encodings_of(batch)
        return replace(
            self,
            n_samples=self.n_samples + batch.n_samples,
            blocks=self.blocks + 1,
            tallies=[one + other for one, other in zip(self.tallies or [Tally()] * len(found), found, strict=True)],
            loss=spec.document,
            deep=len(batch.elements) > 1,
            encodings=self.encodings if not encoding or encoding in self.encodings else [*self.encodings, encoding],
            warnings=warnings,
        )

    @property
    def encoding(self) -> Any:
        """As what the targets of all blocks were read; None where there are none."""
        words = [encoding for encoding in self.encodings if isinstance(encoding, str)]
        if len(words) < len(self.encodings):
            return self.encodings[0]
        return ", ".join(sorted({*words} - PARTIAL or {*words})) or None

    @property
    def remarks(self) -> list[str]:
        """What is said of all blocks once, and what of some with the rows of the first of them."""
        return [text if count == self.blocks else f"{rows}: {text}" for text, (count, rows) in self.warnings.items()]
