"""`python -m headway.sandbox.in_pod source|step`: what containers of Headway's own image do in an attempt's pod."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # The same files for every Python: they import nothing of Headway. As modules, so that the image's bytecode is used.
    sys.path.insert(0, str(Path(__file__).resolve().with_name("inside")))
    sys.exit(importlib.import_module({"source": "lay_out", "step": "pod"}[sys.argv[1]]).main())
