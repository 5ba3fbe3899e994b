"""TF32 is off while somebody needs it off, and as before afterwards, whichever of torch's settings are in use."""

import subprocess
import sys
import threading

import pytest

from auricle.encoders.settings.exact_float32 import exact_float32, settings_in_use

# In a process of its own: torch refuses one kind of settings once both were used.
PROGRAM = """
import sys, torch
from auricle.encoders.settings.exact_float32 import exact_float32, settings_in_use
backends = torch.backends
if sys.argv[1] == "older":
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = True
elif sys.argv[1] == "by operator":
    backends.cuda.matmul.fp32_precision = backends.cudnn.conv.fp32_precision = "tf32"
before = [getattr(*setting) for setting in settings_in_use()]
with exact_float32():
    off = [getattr(*setting) for setting in settings_in_use()]
after = [getattr(*setting) for setting in settings_in_use()]
print(before, off, after, sep="; ")
"""
EXPECTED = {
    "default": "[False, True]; [False, False]; [False, True]",
    "older": "[True, True]; [False, False]; [True, True]",
    "by operator": "['tf32', 'tf32', 'tf32']; ['ieee', 'ieee', 'ieee']; ['tf32', 'tf32', 'tf32']",
}


@pytest.mark.parametrize(
    "kind", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("default", "older")), "by operator"]
)
def test_either_kind_of_settings_is_switched_off_and_restored(kind):
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == EXPECTED[kind]


def test_blocks_may_overlap_and_the_last_one_restores():
    def now():
        return [getattr(*setting) for setting in settings_in_use()]

    before, first, second = now(), exact_float32(), exact_float32()
    assert True in before
    first.__enter__()
    thread = threading.Thread(target=second.__enter__)
    thread.start()
    thread.join()
    first.__exit__()
    assert now() == [False, False]
    second.__exit__()
    assert now() == before
