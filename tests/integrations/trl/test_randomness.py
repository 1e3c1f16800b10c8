"""An evaluation's random numbers leave no trace in training's."""

import random

import numpy as np
import pytest
import torch

from mtgrpo.integrations.trl.randomness import separate_randomness


def test_randomness_is_put_back():
    def draws():
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    random.seed(3), np.random.seed(3), torch.manual_seed(3)  # noqa: NPY002
    expected = draws(), draws()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)  # noqa: NPY002
    first = draws()
    inside = []
    for _ in range(2):
        with separate_randomness(11, torch.device("cpu")):
            inside.append(draws())
    with pytest.raises(KeyError), separate_randomness(11, torch.device("cpu")):
        raise KeyError
    assert (first, draws()) == expected
    assert inside[0] == inside[1]
