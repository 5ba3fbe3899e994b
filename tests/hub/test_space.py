"""The Space as the Hub runs it: its files alone, in a process of their own."""

import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import yaml

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
pytest.importorskip("lancedb")

from tiny_models import saved_tiny_model, write_sound  # noqa: E402
from tiny_recipes import environment  # noqa: E402

from auricle.hub.space import collect_space, requirements  # noqa: E402

NO_FILTERS = ("", "", 0, 0, -1, "", "")


@pytest.fixture
def space(tmp_path):
    for path, content in collect_space("someone/model", "someone/page").files.items():
        (tmp_path / "space" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "space" / path).write_bytes(content)
    return tmp_path / "space"


def test_its_card_and_requirements(space):
    card = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert card["sdk"] == "gradio" and card["sdk_version"] == metadata.version("gradio")
    assert (space / card["app_file"]).is_file() and card["models"] == ["someone/model"]
    lines = (space / "requirements.txt").read_text().splitlines()
    names = {re.match(r"[A-Za-z0-9_.-]+", line)[0] for line in lines}
    assert {"torch", "transformers", "soundfile", "lancedb", "pyarrow"} <= names
    assert not {"gradio", "auricle", "pytest", "ray"} & names
    assert "peft" not in names and any(line.startswith("peft") for line in requirements(("app", "peft")))
    assert not [path for path in space.rglob("*") if path.name in ("tests", "cli", "__pycache__")]


@pytest.mark.slow
@pytest.mark.parametrize("sounds_in_the_repository", [False, True])
def test_it_runs_by_itself(space, tmp_path, sounds_in_the_repository):
    saved_tiny_model(tmp_path / "model")
    if sounds_in_the_repository:
        write_sound(space / "sounds" / "there.wav", 1.0, seed=3)
    own = environment(MODEL_ID=str(tmp_path / "model"), PYTHONUNBUFFERED="1")
    for name in ("PYTHONPATH", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        own.pop(name, None)
    code = [sys.executable, "-c", "import auricle; print(auricle.__file__)"]
    where = subprocess.run(code, cwd=space, env=own, capture_output=True, text=True, check=True).stdout
    assert Path(where.strip()) == space / "auricle" / "__init__.py"
    with open(tmp_path / "log", "w+") as log:
        app = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=own, stdout=log, stderr=log)
        try:
            url = _address(app, tmp_path / "log")
            assert url.startswith("http://127.0.0.1:")
            _use(url, tmp_path, there=sounds_in_the_repository)
        finally:
            app.kill()
            app.wait()


def _address(app: subprocess.Popen, log: Path) -> str:
    for _ in range(600):
        found = re.search(r"http://\S+", log.read_text())
        if found:
            return found[0]
        assert app.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


def _use(url: str, folder: Path, *, there: bool) -> None:
    client = gradio_client.Client(url, verbose=False)

    def asked() -> str:
        return str(client.predict("a dog barks", "", False, *NO_FILTERS, api_name="/search"))

    if there:
        assert "there.wav" in asked()
    else:
        with pytest.raises(Exception, match="library is empty"):
            asked()
    with pytest.raises(Exception, match="Choose one or more"):
        client.predict(None, api_name="/add")
    (folder / "text.wav").write_text("no sound")
    (folder / "metadata.csv").write_text("file_name,license\nthere.wav,mine alone\n")
    chosen = [write_sound(folder / "bark.wav", 1.0, seed=4), folder / "text.wav", folder / "metadata.csv"]
    said = client.predict([gradio_client.handle_file(str(path)) for path in chosen], api_name="/add")[0]
    assert "1 added" in said and "not added: `text.wav`" in said and "not added: `metadata.csv`" in said
    assert "bark.wav" in asked() and "text.wav" not in asked() and "mine alone" not in asked()
    again = client.predict([gradio_client.handle_file(str(chosen[0]))], api_name="/add")[0]
    assert "1 added" in again and "bark (2).wav" in asked()
