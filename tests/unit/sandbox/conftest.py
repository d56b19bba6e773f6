"""The modules of `sandbox/inside` import one another by bare name, as they do when a supervisor runs."""

import sys

from headway.sandbox.command import INSIDE

sys.path.insert(0, str(INSIDE))
