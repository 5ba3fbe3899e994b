"""The list of exceptions names tests that there are."""

import importlib.util
from pathlib import Path

from known_exceptions import EXCEPTIONS


def test_every_exception_is_a_test():
    classes = {}
    for path in Path(__file__).parent.glob("test_hf_*.py"):
        if path == Path(__file__):
            continue
        spec = importlib.util.spec_from_file_location(f"exceptions_of_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        classes |= {name: value for name, value in vars(module).items() if isinstance(value, type)}
    assert EXCEPTIONS
    missing = [
        f"{kind}.{test}"
        for kind, tests in EXCEPTIONS.items()
        for test in tests
        if not callable(getattr(classes.get(kind), test, None))
    ]
    assert missing == []
