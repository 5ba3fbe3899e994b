"""What someone writes on a first day, kept here to be read by a type checker; needs a model and an index to run."""

import sys
from typing import assert_type

import numpy as np
import torch

from auricle import AuricleConfig, AuricleModel, AuricleProcessor, SoundIndex, load_encoder
from auricle.encoders import AudioTextEncoder
from auricle.search import Hit, IndexReport, SearchError


def similarity(directory: str, sentence: str, path: str) -> float:
    model = assert_type(AuricleModel.from_pretrained(directory), AuricleModel)
    processor = assert_type(AuricleProcessor.from_pretrained(directory), AuricleProcessor)
    assert_type(assert_type(model.config, AuricleConfig).projection_dim, int)
    with torch.no_grad():
        text: torch.Tensor = model.get_text_features(**processor(text=[sentence])).pooler_output
        audio: torch.Tensor = model.get_audio_features(**processor(audio=[path])).pooler_output
    return (text @ audio.T).item()


def find(directory: str, model: str, folder: str, sentence: str) -> list[tuple[str, float]]:
    index = SoundIndex.create(directory, model)
    report = assert_type(index.update([folder], progress=False), IndexReport)
    print(report.line(), len(index), index.tags, report.faults)
    try:
        hits = assert_type(SoundIndex(directory).search(sentence, top=5, negative=["wind"]), list[Hit])
    except SearchError as error:
        sys.exit(str(error))
    for hit in index.similar(hits[0].path, end=2.0) + index.moments(hits[0].path, sentence):
        print(f"{hit.start:.1f} {hit.end:.1f} {hit.metadata.get('place', '')} {', '.join(hit.tags)}")
    index.export("answers.csv", hits=hits)
    return [(hit.path, hit.score if hit.percentile is None else hit.percentile) for hit in hits]


def rank(name: str, sentence: str, paths: list[str]) -> list[str]:
    encoder = assert_type(load_encoder(name, device="cpu"), AudioTextEncoder)
    query, (sounds, unread) = encoder.embed_texts([sentence]), encoder.embed_clips(paths)
    print(encoder.sampling_rate, encoder.embedding_dim, [reason for _, reason in unread])
    return [paths[place] for place in np.argsort(-(sounds @ query[0]), kind="stable")]
