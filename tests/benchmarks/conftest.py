"""The modules of a benchmark folder import each other by bare names, as its scripts find them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "overlap_study"))
