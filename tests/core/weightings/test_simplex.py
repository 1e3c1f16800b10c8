import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.core.weightings.simplex import cap_weights, simplex_gradient, softmax

logits_and_scores = st.integers(1, 12).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(-30, 30), min_size=k, max_size=k),
        st.lists(st.floats(-10, 10), min_size=k, max_size=k),
    )
)


def test_softmax_by_hand():
    # exp(ln 1), exp(ln 2), exp(ln 5) = 1, 2, 5 of 8.
    assert softmax(np.log([1.0, 2.0, 5.0])) == pytest.approx([0.125, 0.25, 0.625], abs=1e-15)


def test_softmax_survives_large_logits():
    assert softmax(np.array([1e4, 0.0, -1e4])).tolist() == [1.0, 0.0, 0.0]
    assert softmax(np.full(100_000, 700.0)).sum() == pytest.approx(1.0, abs=1e-12)


def test_gradient_by_hand():
    # z = (.5, .3, .2), s = (1, 2, 4): mean .5 + .6 + .8 = 1.9; g = (.5 * -.9, .3 * .1, .2 * 2.1).
    assert simplex_gradient(np.array([0.5, 0.3, 0.2]), np.array([1.0, 2.0, 4.0])) == pytest.approx(
        [-0.45, 0.03, 0.42], abs=1e-15
    )


@given(logits_and_scores)
def test_gradient_is_autograds(case):
    logits, scores = case
    xi = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    (torch.softmax(xi, 0) @ torch.tensor(scores, dtype=torch.float64)).backward()
    ours = simplex_gradient(softmax(np.array(logits)), np.array(scores))
    assert ours == pytest.approx(xi.grad.numpy(), abs=1e-13)
    assert ours.sum() == pytest.approx(0, abs=1e-13)


@given(logits_and_scores, st.floats(-100, 100))
def test_gradient_ignores_a_constant_in_the_scores(case, constant):
    z, scores = softmax(np.array(case[0])), np.array(case[1])
    assert simplex_gradient(z, scores + constant) == pytest.approx(
        simplex_gradient(z, scores), abs=1e-12
    )


def test_cap_weights_by_hand():
    # .7 is cut to .4; the .3 goes to .2 and .1 as 2 to 1. Then nothing is above its cap any more.
    assert cap_weights(np.array([0.7, 0.2, 0.1]), np.array([0.4, 1, 1])).tolist() == pytest.approx(
        [0.4, 0.4, 0.2]
    )
    # With .3 as the second cap, the third gets the rest.
    assert cap_weights(
        np.array([0.7, 0.2, 0.1]), np.array([0.4, 0.3, 1])
    ).tolist() == pytest.approx([0.4, 0.3, 0.3])
    # Caps that leave no room: in proportion to them.
    assert cap_weights(np.array([0.7, 0.3]), np.array([0.1, 0.3])).tolist() == pytest.approx(
        [0.25, 0.75]
    )


@given(st.lists(st.tuples(st.floats(1e-6, 1), st.floats(1e-3, 1)), min_size=1, max_size=8))
def test_cap_weights_is_on_the_simplex_and_within_the_caps(pairs):
    raw, caps = np.array(pairs).T
    weights = raw / raw.sum()
    found = cap_weights(weights, caps)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    if caps.sum() > 1:
        assert (found <= caps + 1e-9).all()
        free = found < caps - 1e-9
        ratios = found[free] / weights[free]
        assert np.ptp(ratios) <= 1e-6 * max(
            1, ratios.max(initial=1)
        )  # those below keep their proportions
