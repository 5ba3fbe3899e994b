"""Clusters of captions: made, kept, looked up, and refused where they do not fit."""

import importlib.util
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from auricle.data import CaptionedClip, build_table
from auricle.training.clusters.caption_clusters import (
    CaptionClusters,
    ClusterError,
    ClusterSettings,
    renumbered,
    vote_per_clip,
)
from auricle.training.clusters.cluster_methods import OUTLIER, cluster_captions, to_nearest_mean
from auricle.training.clusters.cluster_words import top_words

KINDS = ("dog barking", "rain falling", "church bell", "engine idling")


def captioned(clips=24, captions=3, kinds=4):
    """Clips of four kinds in turn, captions that say so and differ."""
    rows = []
    for clip in range(clips):
        kind = KINDS[clip % kinds]
        texts = [f"{kind} number {clip} {'abcde'[n]}" for n in range(captions)]
        rows += CaptionedClip("set", "train", f"{clip}.wav", f"{clip}.wav", texts).rows()
    return build_table(rows)


def vectors_of(table, noise=0.15, seed=0):
    """A direction for each kind of sound, and a little noise for each caption."""
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.standard_normal((16, 16)))[0][: len(KINDS)]
    kinds = [
        next(number for number, kind in enumerate(KINDS) if caption.startswith(kind))
        for caption in table["caption"]
    ]
    return (directions[kinds] + noise * generator.standard_normal((len(kinds), 16))).astype(np.float32), kinds


KMEANS = ClusterSettings(method="kmeans", num_clusters=4)


def same_partition(labels, kinds):
    return len(set(zip(labels.tolist(), kinds, strict=True))) == len(set(kinds)) == len(set(labels.tolist()))


def test_kmeans_finds_planted_kinds_and_says_what_they_are_of():
    table = captioned()
    vectors, kinds = vectors_of(table)
    clusters = cluster_captions(table, vectors, KMEANS, source={"name": "planted"})
    labels = clusters.labels_for(table)
    assert same_partition(labels, kinds)
    assert clusters.sizes == [18, 18, 18, 18] and clusters.num_clusters == 4
    assert clusters.outliers_before == clusters.outliers_after == 0
    for label, kind in {int(label): KINDS[kind] for label, kind in zip(labels, kinds, strict=True)}.items():
        assert set(kind.split()) <= set(clusters.top_words[label])
    assert clusters.summary()["source"] == {"name": "planted"}
    assert "scikit-learn" in clusters.libraries


@pytest.mark.slow
@pytest.mark.parametrize("method", ["umap-hdbscan", "bertopic"])
def test_density_methods_find_them_too_and_leave_no_outlier(method):
    if method == "bertopic" and importlib.util.find_spec("bertopic") is None:
        pytest.skip("bertopic is not installed")
    table = captioned(clips=60)
    vectors, kinds = vectors_of(table, noise=0.1)
    settings = ClusterSettings(method=method, min_cluster_size=10, neighbors=10, dimensions=3)
    clusters = cluster_captions(table, vectors, settings)
    assert clusters.labels_for(table).min() >= 0
    agreement = np.mean(list(_agreement(clusters.labels_for(table), kinds)))
    assert agreement > 0.95
    again = cluster_captions(table, vectors, settings)
    assert again.rows.equals(clusters.rows)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["umap-hdbscan", "bertopic"])
def test_captions_without_any_density_are_all_outliers(method):
    if method == "bertopic" and importlib.util.find_spec("bertopic") is None:
        pytest.skip("bertopic is not installed")
    table = captioned(clips=60)
    vectors = np.random.default_rng(0).standard_normal((180, 16)).astype(np.float32)
    with pytest.raises(ClusterError, match="all captions are outliers.* Lower min_cluster_size"):
        cluster_captions(table, vectors, ClusterSettings(method, min_cluster_size=90))


def _agreement(labels, kinds):
    """Whether each caption is of the most frequent kind of its cluster."""
    for label in set(labels.tolist()):
        own = [kind for kind, one in zip(kinds, labels, strict=True) if one == label]
        yield from (kind == max(set(own), key=own.count) for kind in own)


def test_equal_captions_share_a_cluster_whatever_their_vectors_clip():
    rows = []
    for clip in range(8):
        rows += CaptionedClip(
            "set", "train", f"{clip}", f"{clip}.wav", [KINDS[clip % 2], f"{KINDS[clip % 2]} {clip}"]
        ).rows()
    table = build_table(rows)
    vectors, _ = vectors_of(table)
    vectors = np.stack([vectors[table["caption"].index(caption)] for caption in table["caption"]])
    clusters = cluster_captions(table, vectors, ClusterSettings(method="kmeans", num_clusters=2))
    labels = clusters.labels_for(table)
    assert len(set(labels[::4].tolist())) == 1


def test_a_clips_captions_vote():
    labels = vote_per_clip(["a", "a", "a", "b", "b"], np.array([2, 1, 1, 3, 0]))
    assert labels.tolist() == [1, 1, 1, 0, 0]
    table = captioned()
    vectors, _ = vectors_of(table, noise=0.8)
    own = cluster_captions(table, vectors, KMEANS).labels_for(table).reshape(-1, 3)
    voted = cluster_captions(
        table, vectors, ClusterSettings("kmeans", num_clusters=4, per_clip=True)
    ).labels_for(table)
    assert (own != own[:, :1]).any()
    assert (voted.reshape(-1, 3) == voted.reshape(-1, 3)[:, :1]).all()


def test_clusters_are_numbered_by_size():
    assert renumbered(np.array([7, 3, 3, 9, 9])).tolist() == [2, 0, 0, 1, 1]


def test_outliers_go_to_the_nearest_mean():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 0, 1]]
    vectors[4] = [0.9, 0.3, 0, 0]
    labels = to_nearest_mean(vectors, np.array([5, 5, 2, 2, OUTLIER, OUTLIER]))
    assert labels.tolist() == [5, 5, 2, 2, 5, 2]
    with pytest.raises(ClusterError, match="all captions are outliers"):
        to_nearest_mean(vectors, np.full(6, OUTLIER))


def test_words_tell_clusters_apart():
    captions = [
        "The dog is barking in the rain",
        "a dog barks, barking",
        "rain is falling",
        "the rain falls on",
    ]
    words = top_words(captions, np.array([0, 0, 1, 1]))
    assert words[0][:2] == ["barking", "dog"] and words[1][0] == "rain"
    assert not {"the", "is", "in"} & set(words[0] + words[1])
    assert top_words(["the", "of"], np.array([0, 1])) == [[], []]


def test_they_come_back_as_they_were_in_any_order(tmp_path):
    table = captioned()
    vectors, _ = vectors_of(table)
    clusters = cluster_captions(table, vectors, KMEANS)
    clusters.save(tmp_path / "c")
    loaded = CaptionClusters.load(tmp_path / "c")
    assert loaded.summary() == clusters.summary()
    some = table.select([40, 3, 17])
    assert loaded.labels_for(some).tolist() == clusters.labels_for(table)[[40, 3, 17]].tolist()
    clusters.save(tmp_path / "c")


def test_clusters_of_another_data_set_are_refused(tmp_path):
    table = captioned()
    vectors, _ = vectors_of(table)
    clusters = cluster_captions(table, vectors, KMEANS)
    longer = captioned(clips=25)
    with pytest.raises(ClusterError, match=r"row 'set/train/24\.wav#0' has no cluster: 72 other rows"):
        clusters.labels_for(longer)
    other = table.map(lambda row: {"caption": row["caption"].replace("number 3", "no. 3")})
    with pytest.raises(
        ClusterError, match=r"row 'set/train/3\.wav#0' was clustered with another caption than"
    ):
        clusters.labels_for(other)


def test_damaged_directories_are_refused(tmp_path):
    table = captioned()
    clusters = cluster_captions(table, vectors_of(table)[0], KMEANS)
    clusters.save(tmp_path / "c")
    info = tmp_path / "c" / "clusters.json"
    good = json.loads(info.read_text())
    for change, message in (
        ({"version": 9}, "version 9"),
        ({"format": "x"}, "no clusters.json found"),
        ({"sizes": [72]}, "belong to different clusterings"),
        ({"sizes": 5}, "clusters.json is damaged"),
        ({"top_words": []}, "belong to different clusterings"),
        ({"settings": {"depth": 3}}, "clusters.json is damaged"),
    ):
        info.write_text(json.dumps(good | change))
        with pytest.raises(ClusterError, match=message):
            CaptionClusters.load(tmp_path / "c")
    info.write_text(json.dumps({name: value for name, value in good.items() if name != "source"}))
    with pytest.raises(ClusterError, match="lacks 'source'"):
        CaptionClusters.load(tmp_path / "c")
    info.write_text(json.dumps(good))
    ids = clusters.rows["row_id"].to_pylist()
    twice = clusters.rows.set_column(0, "row_id", pa.array([ids[0], ids[0], *ids[2:]]))
    parquet.write_table(twice, tmp_path / "c" / "labels.parquet")
    with pytest.raises(ClusterError, match=f"contains row '{ids[0]}' 2 times"):
        CaptionClusters.load(tmp_path / "c")
    (tmp_path / "c" / "labels.parquet").write_bytes(b"no")
    with pytest.raises(ClusterError, match="labels.parquet is missing or damaged"):
        CaptionClusters.load(tmp_path / "c")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(ClusterError, match="contains other files"):
        clusters.save(tmp_path / "mine")
    with pytest.raises(ClusterError, match="notes.txt: is a file"):
        clusters.save(tmp_path / "mine" / "notes.txt")


def test_what_cannot_be_clustered_is_explained(monkeypatch):
    table = captioned(clips=4)
    vectors, _ = vectors_of(table)
    with pytest.raises(ClusterError, match="12 different captions are too few for num_clusters=13"):
        cluster_captions(table, vectors, ClusterSettings("kmeans", num_clusters=13))
    with pytest.raises(ClusterError, match="too few for min_cluster_size=30 and neighbors=15"):
        cluster_captions(table, vectors, ClusterSettings())
    with pytest.raises(
        ClusterError, match="of 12 clusters have a single caption, such as 'dog barking number 0 a'"
    ):
        cluster_captions(table, vectors, ClusterSettings("kmeans", num_clusters=12))
    with pytest.raises(ClusterError, match="must be one vector a caption"):
        cluster_captions(table, vectors[:-1], KMEANS)
    vectors[5, 3] = np.nan
    with pytest.raises(
        ClusterError, match=r"row 'set/train/1\.wav#2': the vector of its caption is not finite"
    ):
        cluster_captions(table, vectors, KMEANS)
    monkeypatch.setattr(
        "auricle.training.clusters.cluster_methods.NEEDED", {"kmeans": (("no_such_module", "its-package"),)}
    )
    with pytest.raises(ClusterError, match=r"needs its-package: pip install 'auricle\[cluster\]'"):
        cluster_captions(table, np.nan_to_num(vectors), KMEANS)


@pytest.mark.parametrize(
    "settings",
    [{"method": "dbscan"}, {"min_cluster_size": 1}, {"num_clusters": 1}, {"neighbors": 1}, {"seed": -1}],
)
def test_wrong_settings_are_named(settings):
    (name,) = settings
    with pytest.raises(ClusterError, match=f"{name}="):
        ClusterSettings(**settings)
