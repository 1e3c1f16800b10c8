"""Contracts for what users write themselves: subclass one, and pytest tests your class.

```
from mtgrpo.testing import WeightingContract

class TestMyWeighting(WeightingContract):
    def make(self, tasks):
        return MyWeighting(rate=0.1)
```
"""

from __future__ import annotations

from mtgrpo.testing.signals import Signals
from mtgrpo.testing.tasks import TaskContract
from mtgrpo.testing.weightings import WeightingContract

__all__ = ["Signals", "TaskContract", "WeightingContract"]
