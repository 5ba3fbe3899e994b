"""The modules of a benchmark folder import each other by bare names, as its scripts find them."""

import sys
from pathlib import Path

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path[:0] = [str(_BENCHMARKS / "overlap_study"), str(_BENCHMARKS)]
