"""Shared pieces of the tests: helper modules beside this file, and quiet, offline libraries."""

import os
import sys
from pathlib import Path

# Read when the libraries are imported, hence set before any test module is.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# What `--engine auto` is: the tests neither time the machine nor depend on it.
os.environ["AURICLE_ENGINE"] = "torch"

sys.path.insert(0, str(Path(__file__).parent))
