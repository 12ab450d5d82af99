# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the directory as a program: `python3 gpu_acceptance OUT`, in a checkout `python3 scripts/gpu_acceptance OUT`."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    package = __package__
    if not package:
        # The directory was given to Python by its path, so it is not a package yet.
        here = Path(__file__).resolve().parent
        sys.path.insert(0, str(here.parent))
        package = here.name
    sys.exit(importlib.import_module(f"{package}.main").main(sys.argv[1:]))
