"""What commands on an index do not import."""

import subprocess
import sys

import pytest
from tiny_recipes import environment

pytest.importorskip("pyarrow")
pytest.importorskip("pandas")


def test_pyarrow_converts_without_pandas_which_can_be_imported_later():
    code = (
        "import sys\n"
        "from auricle.cli.spare_imports import spare_pandas\n"
        "spare_pandas()\n"
        "import pyarrow, pyarrow.compute as compute\n"
        "table = pyarrow.table({'path': pyarrow.array(['a', 'b']), 'window': pyarrow.array([-1, 0])})\n"
        "assert len(table.filter(compute.equal(table.column('window'), -1))) == 1\n"
        "assert 'pandas' not in sys.modules\n"
        "import pandas\n"
        "assert pandas.DataFrame({'a': [1]}).shape == (1, 1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
