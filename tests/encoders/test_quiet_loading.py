"""transformers neither draws bars nor reports tensors while a model is loaded; a program's own settings come back."""

import logging

import pytest
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from tiny_models import saved_tiny_model
from transformers.utils import logging as transformers_logging

from auricle import AuricleModel, load_encoder
from auricle.encoders.checkpoint_faults import quiet_loading


@pytest.fixture
def bars(monkeypatch):
    """The bars of transformers and of downloads, both shown; as they were afterwards."""
    shown, downloads = transformers_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    transformers_logging.enable_progress_bar()
    yield
    (transformers_logging.enable_progress_bar if shown else transformers_logging.disable_progress_bar)()
    (enable_progress_bars if downloads else disable_progress_bars)()


def test_a_model_is_loaded_without_bars_and_reports(tmp_path, capsys, bars):
    directory = tmp_path / "model"
    saved_tiny_model(directory)
    capsys.readouterr()
    AuricleModel.from_pretrained(directory)
    assert "Loading weights" in capsys.readouterr().err  # what the library shows by itself
    load_encoder(str(directory))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("downloads", [True, False])
@pytest.mark.parametrize("shown", [True, False])
def test_settings_are_restored(bars, shown, downloads):
    (transformers_logging.enable_progress_bar if shown else transformers_logging.disable_progress_bar)()
    (enable_progress_bars if downloads else disable_progress_bars)()
    logger = logging.getLogger("transformers")
    level = logger.level
    with pytest.raises(RuntimeError), quiet_loading():
        assert not transformers_logging.is_progress_bar_enabled()
        assert are_progress_bars_disabled() is not downloads
        assert logger.level == logging.ERROR
        raise RuntimeError
    assert transformers_logging.is_progress_bar_enabled() is shown
    assert are_progress_bars_disabled() is not downloads
    assert logger.level == level
