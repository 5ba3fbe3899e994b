"""Maps of a library, and the page that shows one."""

import re

import numpy as np
import pytest
from browser import browser, complaints, keep_picture, marks, overflow, requests_elsewhere, until
from tiny_models import saved_tiny_model, write_sound
from typer.testing import CliRunner

pytest.importorskip("plotly")
pytest.importorskip("umap")

from auricle.cli.main import app
from auricle.search import SearchError, SoundIndex
from auricle.search.library_map import _cluster_names, _largest_first, make_library_map
from auricle.search.query.ranking import BACKGROUND_QUERIES

STRANGE = "a <b>bold<b> & 'quoted' 🎵.wav"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    for number in range(20):
        kind = "hum" if number % 2 else "hiss"
        write_sound(folder / "sounds" / kind / f"{number:02}.wav", 1.0, seed=number)
    write_sound(folder / "sounds" / "hum" / STRANGE, 1.0, seed=50)
    saved_tiny_model(folder / "model")
    SoundIndex.create(folder / "index", str(folder / "model")).update([folder / "sounds"], progress=False)
    return folder


@pytest.mark.slow
def test_every_file_has_a_place_and_the_same_index_gives_the_same_map(library):
    found, again = (make_library_map(SoundIndex(library / "index")) for _ in range(2))
    assert found.place.shape == (21, 2) and np.isfinite(found.place).all() and found.left_out == 0
    assert np.array_equal(found.place, again.place) and np.array_equal(found.cluster, again.cluster)
    assert sorted(found.path) == list(found.path)
    assert all(
        ("hum" in tags) == ("/hum/" in path) for path, tags in zip(found.path, found.tags, strict=True)
    )
    assert found.cluster.max() + 1 == len(found.names) and len(np.unique(found.place, axis=0)) == 21


def test_a_limit_draws_files_and_says_so(library):
    index = SoundIndex(library / "index")
    found = make_library_map(index, limit=18)
    assert len(found.path) == 18 and found.left_out == 3
    assert list(make_library_map(index, limit=18).path) == list(found.path)
    assert list(make_library_map(index, limit=18, seed=7).path) != list(found.path)
    few = make_library_map(index, limit=3)
    assert few.place.shape == (3, 2) and few.cluster.tolist() == [0, 0, 0]


def test_clusters_are_numbered_by_size_and_named_by_what_fits_them_beyond_the_rest():
    labels = np.array([3, 3, 0, 0, 0, -1, 5, 5])
    assert _largest_first(labels).tolist() == [1, 1, 0, 0, 0, -1, 2, 2]
    background = np.eye(len(BACKGROUND_QUERIES))
    vectors = np.zeros((4, len(BACKGROUND_QUERIES)))
    vectors[:, 7] = 0.9  # fits every sound
    vectors[:2, 4], vectors[2:, 1] = 0.5, 0.5
    names = _cluster_names(vectors, np.array([0, 0, 1, 1]), background)
    assert [name.split(", ")[0] for name in names] == [BACKGROUND_QUERIES[4], BACKGROUND_QUERIES[1]]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_one_page_and_says_what_is_wrong(library, tmp_path):
    out = tmp_path / "map.html"
    done = run("map", library / "index", out)
    assert done.exit_code == 0 and "21 files" in done.output
    text = out.read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="', text)  # nothing is loaded
    # A label of plotly would show markup as what it means; in the player's line names are plain text.
    labels = text.replace("\\u003c", "<").replace("\\u003e", ">")
    assert "<b>a &lt;b&gt;bold&lt;b&gt; &amp; 'quoted'" in labels
    assert [path.name for path in tmp_path.iterdir()] == ["map.html"]
    for arguments, message in (
        ((library / "index", tmp_path / "map.png"), "ends in .html"),
        ((library / "index", tmp_path / "none" / "map.html"), "folder that exists"),
        ((library / "model", out), "not an index"),
        ((library / "index", out, "--min-cluster-size", 1), "min-cluster-size"),
    ):
        failed = run("map", *arguments)
        assert failed.exit_code == 2 and message in " ".join(failed.output.split()), failed.output
    assert out.read_text(encoding="utf-8") == text
    with pytest.raises(SearchError, match="min_cluster_size=1"):
        make_library_map(SoundIndex(library / "index"), min_cluster_size=1)


@pytest.mark.browser
@marks[1]
def test_the_page_shows_names_as_they_are_and_plays_what_is_clicked(library, tmp_path):
    out = tmp_path / "map.html"
    assert run("map", library / "index", out, "--limit", 21).exit_code == 0
    click = """
        const plot = document.getElementById("map");
        for (const trace of plot.data) {
          const row = trace.customdata.findIndex(entry => entry[1].includes(arguments[0]));
          if (row >= 0) { plot.emit("plotly_click", {points: [{customdata: trace.customdata[row]}]}); return true; }
        }
        return false;
    """
    for width, height in ((1280, 900), (390, 844)):
        with browser(tmp_path / f"profile{width}", width, height) as driver:
            driver.get(out.as_uri())
            until(lambda: driver.execute_script("return !!document.querySelector('#map .legend')"), "drawing")
            assert (
                overflow(driver) <= 0
                and driver.execute_script("return document.querySelectorAll('b b').length") == 0
            )
            assert driver.execute_script(click, "quoted")
            shown = driver.execute_script("return document.getElementById('chosen').textContent")
            assert shown.endswith(STRANGE)
            until(
                lambda: driver.execute_script("return document.getElementById('player').currentTime") > 0,
                "playing",
            )
            keep_picture(driver, f"map-{width}.png")
            assert not requests_elsewhere(driver) and not complaints(driver)
