"""Everything that an earlier version wrote, once for each version."""

import pytest
from legacy_formats import FORMATS, LegacyFormat


@pytest.fixture(scope="session", params=FORMATS, ids=lambda folder: folder.name)
def legacy(request, tmp_path_factory):
    return LegacyFormat(request.param, tmp_path_factory.mktemp(request.param.name))
