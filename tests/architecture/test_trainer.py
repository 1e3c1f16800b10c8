"""Exactly one class of ours stands between TRL's trainer and the user, and overrides each hook once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import NAMES, tree

TRL = [name for name in NAMES if name.startswith("integrations/trl/")]
TRAINER = "integrations/trl/trainer.py"


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for name in TRL:
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.ClassDef):
                yield name, node


def trainers() -> dict[str, str]:
    """Classes that descend from TRL's trainer, and their files."""
    bases = {
        node.name: (name, [ast.unparse(b).split(".")[-1] for b in node.bases])
        for name, node in classes()
    }
    ours: dict[str, str] = {}
    while True:
        more = {
            name: file
            for name, (file, above) in bases.items()
            if name not in ours and ({"GRPOTrainer", *ours} & set(above))
        }
        if not more:
            return ours
        ours |= more


def hooks() -> set[str]:
    """Methods of TRL's and transformers' trainer that ours overrides."""
    from trl import GRPOTrainer

    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

    own = {name for name, value in vars(MultiTaskGRPOTrainer).items() if callable(value)}
    return {name for name in own if hasattr(GRPOTrainer, name) and not hasattr(object, name)}


def test_one_class_of_ours_stands_directly_on_trls():
    from trl import GRPOTrainer

    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

    assert trainers() == {"MultiTaskGRPOTrainer": TRAINER}
    assert MultiTaskGRPOTrainer.__bases__ == (GRPOTrainer,)


def test_each_hook_is_overridden_in_one_place():
    overridden = hooks()
    assert {"compute_loss", "_generate", "_calculate_rewards"} <= overridden

    # Nothing replaces a hook on an instance, and no name is defined twice in the class.
    for name in TRL:
        for node in ast.walk(tree(name)):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Attribute):
                    assert target.attr not in overridden, f"{name}:{node.lineno}: {target.attr}"

    trainer = next(node for _, node in classes() if node.name == "MultiTaskGRPOTrainer")
    methods = [node.name for node in trainer.body if isinstance(node, ast.FunctionDef)]
    assert len(methods) == len(set(methods))


def test_a_hook_names_the_parts_it_calls_and_does_no_work_of_its_own():
    overridden = hooks()  # the constructor is none of them
    trainer = next(node for _, node in classes() if node.name == "MultiTaskGRPOTrainer")

    for node in trainer.body:
        if isinstance(node, ast.FunctionDef) and node.name in overridden:
            statements = sum(isinstance(n, ast.stmt) for n in ast.walk(node)) - 1
            assert statements <= 12, (
                f"{node.name} has {statements} statements: give a part the work"
            )
