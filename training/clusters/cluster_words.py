"""Characteristic words of caption clusters."""

from collections.abc import Sequence

import numpy as np


def top_words(captions: Sequence[str], labels: np.ndarray, count: int = 10) -> list[list[str]]:
    """
    The best words of every cluster by class-based TF-IDF (BERTopic's weighting, arXiv 2203.05794, section 3.3).

    A word's weight in a cluster is its share of the cluster's words times ``log(1 + A / f)``, where ``f`` is the word's
    frequency in all captions and ``A`` the mean number of words per cluster. Words are lower-case runs of two letters
    or more; scikit-learn's English stop words are ignored.

    Args:
        captions: sentences.
        labels: int64 ``(captions,)``, 0 to the number of clusters minus 1.
        count: words a cluster, at most.

    Returns:
        For each cluster its words, best first, of equal weight in alphabetical order; none where all its words are
        stop words.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    documents = [[] for _ in range(int(labels.max()) + 1)]
    for caption, label in zip(captions, labels.tolist(), strict=True):
        documents[label].append(caption)
    vectorizer = CountVectorizer(stop_words="english", token_pattern=r"[^\W\d_]{2,}")
    try:
        counts = vectorizer.fit_transform(" ".join(document) for document in documents)
    except ValueError:  # no word is left
        return [[] for _ in documents]
    words = vectorizer.get_feature_names_out()
    everywhere = np.asarray(counts.sum(axis=0)).ravel()
    rarity = np.log(1 + everywhere.sum() / len(documents) / everywhere)
    ranked = []
    for row in counts:
        # Not row.sum(): it sorts the row's entries while they are being read.
        total = row.data.sum()
        weights = {
            words[column]: found / total * rarity[column]
            for column, found in zip(row.indices, row.data, strict=True)
        }
        ranked.append(sorted(weights, key=lambda word: (-weights[word], word))[:count])
    return [[str(word) for word in best] for best in ranked]


__all__ = ["top_words"]
