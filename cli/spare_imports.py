"""Imports that commands on an index do without."""

import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """
        Raises:
            ModuleNotFoundError: for pandas.
        """
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not imported here.", name=name)


def spare_pandas() -> None:
    """
    Lets pyarrow convert values without importing pandas.

    At its first conversion pyarrow imports pandas, half a CPU-second, to recognise objects of it. The commands that
    call this have none. pandas can be imported afterwards; pyarrow then does not know its objects in this process.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow

        pyarrow.scalar(0)
    except ImportError:
        # The command itself says what is missing.
        pass
    finally:
        sys.meta_path.remove(finder)


__all__ = ["spare_pandas"]
