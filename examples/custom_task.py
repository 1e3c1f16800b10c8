"""A task of your own in forty lines: reverse a word. Run it to see it checked and scored.

Use it in a configuration as ``{task: 'examples/custom_task.py:make_task', arguments: {length: 4}}``.
"""

import random

from mtgrpo.tasks import GeneratedRows, Score, Task, check_task, each


def reward(completion: str, row) -> Score:
    """The share of letters in the right place is trained on; only the whole word counts as correct."""
    answer, word = row["answer"], completion.strip().lower()
    matches = sum(a == b for a, b in zip(answer, word, strict=False)) / max(len(answer), len(word))
    return Score(reward=matches, accuracy=float(word == answer))


def make_task(length: int = 4, num_train: int = 1_000, num_test: int = 50) -> Task:
    def make_row(split: str, index: int) -> dict[str, str]:
        rng = random.Random(f"reverse {length} {split} {index}")
        # Words to test on begin with a vowel, words to train on with a consonant: never the same prompt.
        first = rng.choice("aeiou" if split == "test" else "bcdfghjklmnpqrstvwxyz")
        word = first + "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length - 1))
        return {"prompt": f"Spell {word} backwards: ", "answer": word[::-1]}

    return Task(
        name=f"reverse-{length}",
        train=GeneratedRows(num_train, lambda i: make_row("train", i)),
        test=GeneratedRows(num_test, lambda i: make_row("test", i)),
        reward=each(reward),
        correct_at=1.0,
        family="reverse",
        level=str(length),
        oracle=lambda row: row["answer"],
    )


if __name__ == "__main__":
    task = make_task()
    row = task.train[0]
    print(task, "problems:", check_task(task) or "none")
    for completion in (row["answer"], row["answer"][:2] + "??", ""):
        print(f"{row['prompt']}{completion!r} -> {task.score([row], [completion])[0]}")
