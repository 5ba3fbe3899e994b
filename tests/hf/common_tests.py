"""
The common test classes of transformers, imported from the fetched source distribution.

The distribution holds only the files directly below ``tests/``. What they import from elsewhere and our tests do
not need is replaced here: the exporters' and the generation mixin by empty classes (no class of ours
generates), the Hub's test files by their addresses, the table of common config values by our own.
"""

import importlib
import importlib.machinery
import os
import sys
import types
from pathlib import Path

PACKAGE = "transformers_common_tests"
SOURCE = os.environ.get("AURICLE_TRANSFORMERS_TESTS", "")

# One value for each setting that PreTrainedConfig itself has; the test sets all and reads them back.
CONFIG_VALUES = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["SomeModel"],
    "id2label": {0: "label"},
    "label2id": {"label": "0"},
    "problem_type": "regression",
}


def _stand_in(name: str, **contents) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module
    return module


def common(stem: str) -> types.ModuleType:
    """The module ``tests/<stem>.py`` of the fetched distribution."""
    if PACKAGE not in sys.modules:
        folder = Path(SOURCE)
        (folder / "__init__.py").touch()  # one of the modules loads its own folder as a package
        package = _stand_in(PACKAGE, __path__=[str(folder)])
        package.__spec__ = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
        for name in ("exporters", "generation", "utils"):
            _stand_in(f"{PACKAGE}.{name}", __path__=[])
        _stand_in(f"{PACKAGE}.exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
        _stand_in(
            f"{PACKAGE}.generation.test_utils",
            GenerationTesterMixin=type("GenerationTesterMixin", (), {}),
        )
        _stand_in(f"{PACKAGE}.utils.test_configuration_utils", config_common_kwargs=CONFIG_VALUES)
        _stand_in("fetch_hub_objects_for_ci", url_to_local_path=lambda url: url)
    return importlib.import_module(f"{PACKAGE}.{stem}")
