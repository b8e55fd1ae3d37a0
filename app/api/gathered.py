"""What rows that come block by block have come to so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from app.api.evaluate import encodings_of
from app.api.specs import BoundSpec
from app.errors import Fault, InvalidInput
from app.losses.batch import AnyBatch
from app.losses.merging import Tally

MOST_WARNINGS = 10
PARTIAL = {"binary", "one_hot"}
"""Encodings that are special cases of others: a part of the rows may look like one."""


@dataclass(frozen=True)
class Progress:
    """What the blocks until now have come to."""

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

    @classmethod
    def of_batch(cls, batch: AnyBatch, spec: BoundSpec, found: Sequence[Tally], form: Mapping[str, Any], rows: str) -> Self:
        """What a block comes to by itself."""
        encoding = encodings_of(batch)
        warnings = dict.fromkeys(batch.warnings, (1, rows))
        return cls(
            batch.n_samples, 1, found, spec.document, form, len(batch.elements) > 1, [encoding] if encoding else [], warnings
        )

    def __add__(self, other: "Progress") -> "Progress":
        """With blocks that follow. InvalidInput where their rows are not like those before."""
        if self.loss and other.loss and (other.loss, other.form) != (self.loss, self.form):
            raise InvalidInput([Fault((), "shape", "its rows are of another shape, or kind, than those before")])
        warnings = dict(self.warnings)
        for warning, (count, rows) in other.warnings.items():
            if warning in warnings or len(warnings) < MOST_WARNINGS:
                before, first = warnings.get(warning, (0, rows))
                warnings[warning] = (before + count, first)
        both = zip(self.tallies, other.tallies, strict=True) if self.tallies and other.tallies else ()
        return Progress(
            self.n_samples + other.n_samples,
            self.blocks + other.blocks,
            [one + another for one, another in both] or self.tallies or other.tallies,
            other.loss or self.loss,
            other.form or self.form,
            self.deep or other.deep,
            [*self.encodings, *(encoding for encoding in other.encodings if encoding not in self.encodings)],
            warnings,
        )

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON has it, to the bit."""
        return {**vars(self), "tallies": [tally.document for tally in self.tallies]}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        found: dict[str, Any] = {**document, "tallies": [Tally.read(tally) for tally in document["tallies"]]}
        return cls(**found)

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
