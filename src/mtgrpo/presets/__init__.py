"""The named methods and settings of the paper, each complete and printable.

A preset is looked up by (name, variant, setting):

* name: what the field calls the method (`NAMES`);
* variant: ``paper`` follows the pseudo-code, ``released`` the published code where it differs,
  ``default`` has the same weights and roles with this library's own estimates, quotas and rounds;
* setting: ``three_tasks`` or ``nine_tasks``, the two experiments with published hyper-parameters.

``sfl``, ``thompson``, ``dump`` and ``drats`` are other rules for task weights, with the plain
sampler; ``grpo_fair`` and ``balanced`` are this library's own methods. These six are not the
paper's, and their weighting is the same in every variant and setting. docs/paper-map.md lists every
difference between the variants and where it is implemented.
"""

from mtgrpo.presets.lookup import NAMES, VARIANTS, get, nearest_setting
from mtgrpo.presets.tables import SETTINGS

__all__ = ["NAMES", "SETTINGS", "VARIANTS", "get", "nearest_setting"]
