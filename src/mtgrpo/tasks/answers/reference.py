"""The right answer of a reasoning-gym entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mtgrpo.errors import require

NO_REFERENCE = frozenset({"boxnet", "rush_hour"})
"""Datasets that bring no right answer, neither as such nor in the metadata."""

# Where the others whose `answer` is None keep one.
_REFERENCES = {
    "graph_color": "possible_answer",
    "propositional_logic": "example_answer",
    "rubiks_cube": "example_correct_answer",
}


def reference_answer(dataset: str, entry: Mapping[str, Any]) -> str | None:
    """The right answer of an entry, or None when the dataset brings none (`NO_REFERENCE`)."""
    if entry["answer"] is not None:
        unsolved = dataset == "intermediate_integration" and "Integral(" in entry["answer"]
        return _integral(entry["metadata"]) if unsolved else str(entry["answer"])

    key = _REFERENCES.get(dataset)
    if key is None:
        return None

    reference = entry["metadata"][key]
    if not reference:  # of a cube of another size than 3, upstream knows no solution
        return None
    if dataset == "propositional_logic" and len(reference) == 1:
        # Upstream found no conclusion and names a variable that need not follow. All premises do.
        return " ∧ ".join(entry["metadata"]["premises"])
    return reference if isinstance(reference, str) else json.dumps(reference)


def _integral(metadata: Mapping[str, Any]) -> str:
    """The antiderivative that upstream left as an integral."""
    sympy = require("sympy", "reasoning-gym")
    variable = sympy.Symbol(metadata["variable"])
    integrand = sympy.parse_expr(metadata["integrand"], local_dict={variable.name: variable})
    return f"{sympy.integrate(integrand, variable)} + C"
