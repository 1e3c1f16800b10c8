import json

import numpy as np

from mtgrpo.core.weightings.base import CountArrays
from mtgrpo.core.weightings.learnability import (
    LEAST_GAIN,
    PROBE_SHARE,
    RESPITE,
    STALLED_SHARE,
    WINDOW,
    Learnability,
)


def told(
    learnability,
    steps,
    levels,
    shares=(0.5, 0.5),
    generated=(10, 10),
    informative=(5, 5),
    variance=0.001,
):
    """Steps in which the accuracies go from one value to another in a straight line."""
    for step in range(steps):
        level = np.array([start + (end - start) * (step + 1) / steps for start, end in levels])
        groups = np.array(generated, dtype=float)
        counts = CountArrays(groups, groups, np.array(informative, dtype=float), groups)
        learnability.observe(counts, np.array(shares), level, np.full(len(level), variance))
    return learnability.caps()


def test_stalled_after_a_window_of_training_without_gain():
    learnability = Learnability(2)
    steps = int(2 * WINDOW)  # half of each batch
    assert told(learnability, steps - 1, [(0.3, 0.3), (0.3, 0.5)]).tolist() == [1, 1]
    assert told(learnability, 1, [(0.3, 0.3), (0.5, 0.5)]).tolist() == [STALLED_SHARE / 2, 1]
    # After its respite it gets another window; the next verdict lasts twice as long.
    assert told(learnability, int(RESPITE) - 1, [(0.3, 0.3), (0.5, 0.9)]).tolist() == [
        STALLED_SHARE / 2,
        1,
    ]
    assert told(learnability, 1, [(0.3, 0.3), (0.9, 0.9)]).tolist() == [1, 1]
    told(learnability, steps, [(0.3, 0.3), (0.9, 0.9)])
    assert learnability.stalled[0]
    told(learnability, int(2 * RESPITE) - 2, [(0.3, 0.3), (0.9, 0.9)])
    assert learnability.stalled[0]
    told(learnability, 2, [(0.3, 0.3), (0.9, 0.9)])
    assert not learnability.stalled[0]


def test_a_window_with_a_gain_is_no_verdict():
    learnability = Learnability(1)
    told(learnability, int(WINDOW), [(0.3, 0.3 + 2 * LEAST_GAIN)], (1.0,), (10,), (5,))
    assert not learnability.stalled.any()


def test_no_verdict_without_certainty():
    """Few groups, or groups that differ by far: no gain is seen, and a gain might be there all the same."""
    for variance, stalled in ((0.0001, True), (0.1, False)):
        learnability = Learnability(1)
        told(learnability, int(WINDOW), [(0.3, 0.3)], (1.0,), (10,), (5,), variance)
        assert learnability.stalled.tolist() == [stalled]


def test_little_training_is_no_evidence():
    learnability = Learnability(2)
    told(learnability, int(3 * WINDOW), [(0.3, 0.3), (0.3, 0.9)], shares=(0.05, 0.95))
    assert learnability.stalled.tolist() == [False, False]


def test_out_of_reach_by_hand():
    learnability = Learnability(2)
    # After n groups without an informative one the posterior mean is 1 / (n + 2), below 1/40 from 39 on.
    told(learnability, 3, [(0, 0), (0.5, 0.5)], informative=(0, 5))
    assert learnability.out_of_reach.tolist() == [False, False]
    caps = told(learnability, 1, [(0, 0), (0.5, 0.5)], informative=(0, 5))
    assert learnability.out_of_reach.tolist() == [True, False]
    assert caps.tolist() == [PROBE_SHARE / 2, 1]
    told(learnability, 1, [(0, 0), (0.5, 0.5)], generated=(1, 10), informative=(1, 5))
    assert not learnability.out_of_reach.any()


def test_state_through_json():
    first, second = Learnability(2), Learnability(2)
    told(first, 7, [(0.1, 0.2), (0.5, 0.5)], informative=(0, 5))
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert (
        told(first, 400, [(0.2, 0.2), (0.5, 0.6)]).tolist()
        == told(second, 400, [(0.2, 0.2), (0.5, 0.6)]).tolist()
    )
