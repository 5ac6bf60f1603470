"""The registry: every public class once or more, with what the battery needs.

`tests/contract` runs over it and `tests/policy` checks that no public symbol is
missing. Targets are names, so that reading the registry imports nothing.
"""

from tests.cases.augmentation import AUGMENTATION
from tests.cases.callbacks import CALLBACKS
from tests.cases.compression import SPARSITY
from tests.cases.constraints import CONSTRAINTS
from tests.cases.initializers import INITIALIZERS
from tests.cases.layers import LAYERS as PLAIN_LAYERS
from tests.cases.others import OTHERS
from tests.cases.regularizers import REGULARIZERS
from tests.cases.schedules import SCHEDULES

LAYERS = PLAIN_LAYERS + AUGMENTATION
CASES = (
    SCHEDULES
    + CALLBACKS
    + LAYERS
    + REGULARIZERS
    + CONSTRAINTS
    + INITIALIZERS
    + SPARSITY
)

__all__ = [
    "CALLBACKS",
    "CASES",
    "CONSTRAINTS",
    "INITIALIZERS",
    "LAYERS",
    "OTHERS",
    "REGULARIZERS",
    "SCHEDULES",
    "SPARSITY",
]
