"""What `import auricle` offers, and that it costs nothing until it is used."""

import subprocess
import sys

import pytest

import auricle

CLASSES = {
    "AuricleConfig": "auricle.modeling.configuration_auricle",
    "AuricleModel": "auricle.modeling.modeling_auricle",
    "AuricleProcessor": "auricle.processing.processing_auricle",
    "SoundIndex": "auricle.search.sound_index",
}

LIGHT = """
import sys

import auricle

heavy = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "numpy", "transformers", "lancedb"})
rooms = sorted(name for name in sys.modules if name.startswith("auricle."))
assert heavy == [] and rooms == [], (heavy, rooms)
assert {"AuricleModel", "SoundIndex", "load_encoder", "__version__"} <= set(dir(auricle))
assert not any(name.startswith("auricle.") for name in sys.modules), "listing the names imports a room"
assert isinstance(auricle.__version__, str)
"""


def test_import_alone_is_light():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_the_one_of_its_room(name):
    found = getattr(auricle, name)
    assert (found.__name__, found.__module__) == (name, CLASSES[name])


def test_load_encoder_is_the_one_of_its_room():
    from auricle import load_encoder
    from auricle.encoders import load_encoder as of_room

    assert load_encoder is of_room


def test_every_name_is_told():
    assert set(auricle.__all__) == {*CLASSES, "load_encoder", "__version__"}
    assert set(auricle.__all__) <= set(dir(auricle))


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(AttributeError, match="module 'auricle' has no attribute 'AuricleModle'"):
        auricle.AuricleModle  # noqa: B018
    with pytest.raises(ImportError, match="AuricleModle"):
        from auricle import AuricleModle  # noqa: F401


def test_rooms_are_still_found():
    from auricle import modeling, search

    assert (modeling.__name__, search.__name__) == ("auricle.modeling", "auricle.search")


def test_every_name_of_processing_is_listed_and_there():
    import auricle.processing as processing

    assert sorted(processing.__all__) == sorted(processing._MODULE_OF)
    assert all(getattr(processing, name) is not None for name in processing.__all__)
