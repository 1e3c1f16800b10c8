"""What is estimated of tasks that are asked until their quota is met, against a known truth."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mtgrpo import presets
from mtgrpo.core.method import Method
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import Balanced, ImprovementAware

# Of an informative group one answer in four is right, of the others none.
ANSWERS = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))


def steps(mixer: TaskMixer, rate: float, number: int) -> Iterator[None]:
    """Train on tasks that never change; each group is informative with the same probability."""
    rng = np.random.default_rng(0)
    kinds = {task: [Group.verified(task, answers) for answers in ANSWERS] for task in mixer.tasks}

    for _ in range(number):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                num_informative = int(rng.binomial(count, rate))
                numbers = (num_informative, count - num_informative)
                told = [(kind, n) for kind, n in zip(kinds[task], numbers, strict=True) if n]
                copies = [i for i, (_, n) in enumerate(told) for _ in range(n)]
                batch.tell([kind for kind, _ in told], copies)
        mixer.update()
        yield


def estimates(mixer: TaskMixer) -> np.ndarray:
    weighting = mixer.weighting
    if isinstance(weighting, Balanced):
        return weighting._progress.level
    assert isinstance(weighting, ImprovementAware)
    return weighting._reward.values


def relative_bias(method: Method, num_tasks: int, batch_size: int, rate: float, number: int):
    """Of the estimates of J, averaged over tasks and over steps."""
    method = replace(method, sampler=RatioPreservingSampler())
    tasks = [f"task {i}" for i in range(num_tasks)]
    mixer = method.make_mixer(tasks, batch_size=batch_size)
    found = [estimates(mixer).mean() for _ in steps(mixer, rate, number)]
    return np.mean(found[number // 5 :]) / (rate / 4) - 1


if __name__ == "__main__":
    import time

    for name in ("mt_grpo", "balanced"):
        for K, B in ((3, 16), (3, 64), (9, 32), (20, 16), (20, 64)):
            for a in (0.05, 0.2, 0.5, 1.0):
                t = time.time()
                n = int(min(12000, 3e4 * (0.05 / a + 0.1) / (B * a / 0.8)))
                n = max(n, 400)
                print(
                    name,
                    K,
                    B,
                    a,
                    n,
                    f"{relative_bias(presets.get(name), K, B, a, n):+.4f} {time.time() - t:.1f}s",
                    flush=True,
                )
