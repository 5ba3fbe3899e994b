"""Collects these tests only where transformers' own are at hand, and marks the exceptions."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

# `make test-hf` fetches the source and names it; without it nothing here can be imported.
if not os.environ.get("AURICLE_TRANSFORMERS_TESTS"):
    collect_ignore_glob = ["test_*.py"]

# The marks that transformers' tests carry; unknown ones are refused by our settings.
MARKS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "generate",
    "torch_compile_test",
    "torch_export_test",
)


def pytest_configure(config):
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: used by transformers' common tests")


def pytest_collection_modifyitems(items):
    from known_exceptions import reason_of

    for item in items:
        if HERE in Path(item.fspath).parents and item.cls is not None:
            reason = reason_of(item.cls.__name__, item.originalname or item.name)
            if reason:
                # Strict: a test that passes after all must leave the list.
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
