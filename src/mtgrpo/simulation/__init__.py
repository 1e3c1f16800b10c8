"""A toy policy that drives the real core on a CPU in seconds: what would a method do on such tasks?

The task mixer, its sampler and its weights are the library's own; only the model is replaced, by
one latent skill per task that learns from the groups it is trained on. docs/simulate.md has the
equations and what they leave out.
"""

from mtgrpo.simulation.fitting import fit, fit_errors
from mtgrpo.simulation.least import efficiency, least_rollouts
from mtgrpo.simulation.loop import simulate
from mtgrpo.simulation.observations import Observations
from mtgrpo.simulation.result import SimulationResult
from mtgrpo.simulation.sweeps import Sweep, sweep
from mtgrpo.simulation.task import SimulatedTask
from mtgrpo.simulation.world import World

__all__ = [
    "Observations",
    "SimulatedTask",
    "SimulationResult",
    "Sweep",
    "World",
    "efficiency",
    "fit",
    "fit_errors",
    "least_rollouts",
    "simulate",
    "sweep",
]
