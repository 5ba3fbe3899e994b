"""Embeds lists of sounds and sentences with a dual encoder, in batches of bounded size."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers.feature_extraction_utils import BatchFeature

from ..files.reading_ahead import read_ahead
from ..modeling import AuricleModel
from ..processing import AudioReadError, AuricleFeatureExtractor, AuricleProcessor
from .settings.exact_float32 import exact_float32

FRAME_SECONDS = 0.5


@torch.no_grad()
def embed_clips(
    model: AuricleModel,
    processor: AuricleProcessor,
    clips: Sequence[Any],
    *,
    batch_size: int = 16,
    progress: bool = False,
    description: str = "sounds",
    skip_unreadable: bool = False,
    num_workers: int = 0,
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """
    Embeds sounds, every segment of each.

    Args:
        model: in evaluation mode during the call; its mode is restored.
        processor: the model's own.
        clips: sounds in any form that the processor takes; a dict with ``path`` may carry ``offset`` and
            ``duration``.
        batch_size: number of segments per forward pass; affects memory, not the result.
        progress: show a progress bar.
        description: label of the progress bar.
        skip_unreadable: return zeros for an unreadable clip and continue, instead of raising.
        num_workers: number of threads that read the next clips and compute their features ahead; 0 does so in the
            calling thread.

    Returns:
        ``(clips, projection_dim)`` float32 of unit length, and the unreadable clips as (index, reason).

    Raises:
        AudioReadError: for a clip that cannot be read, unless ``skip_unreadable``.
    """
    embeddings = np.zeros((len(clips), model.config.projection_dim), dtype=np.float32)
    failures: list[tuple[int, str]] = []
    waiting: list[tuple[int, BatchFeature]] = []

    def read(clip: Any) -> BatchFeature | AudioReadError:
        try:
            return processor.feature_extractor(clip)
        except AudioReadError as error:
            return error

    with evaluation_mode(model), closing(read_ahead(read, clips, num_workers)) as results:
        bar = tqdm(results, desc=description, unit="clip", total=len(clips), disable=not progress)
        for index, inputs in enumerate(bar):
            if not isinstance(inputs, AudioReadError):
                waiting.append((index, inputs))
            elif skip_unreadable:
                failures.append((index, str(inputs)))
            else:
                raise inputs
            if sum(_num_segments(inputs) for _, inputs in waiting) >= batch_size or index == len(clips) - 1:
                _embed_waiting(model, waiting, embeddings, batch_size)
                waiting.clear()
    return embeddings, failures


def _num_segments(inputs: BatchFeature) -> int:
    return len(inputs["input_features"])


def _embed_waiting(
    model: AuricleModel, waiting: list[tuple[int, BatchFeature]], embeddings: np.ndarray, batch_size: int
) -> None:
    if not waiting:
        return
    counts = torch.tensor([_num_segments(inputs) for _, inputs in waiting])
    # Segments and, for towers that mask their padding, which of their frames are real.
    names = [name for name in ("input_features", "audio_attention_mask") if name in waiting[0][1]]
    columns = [torch.cat([inputs[name] for _, inputs in waiting]).split(batch_size) for name in names]
    # A clip of an hour is hundreds of segments: the tower runs over pieces, the mean over all.
    vectors = [
        model.pool_audio(*(piece.to(model.device) for piece in pieces))
        for pieces in zip(*columns, strict=True)
    ]
    rows = model.project_audio(torch.cat(vectors), counts)
    embeddings[[index for index, _ in waiting]] = rows.cpu().numpy()


@torch.no_grad()
def embed_captions(
    model: AuricleModel,
    processor: AuricleProcessor,
    captions: Sequence[str],
    *,
    batch_size: int = 64,
    progress: bool = False,
    pooled: bool = False,
) -> np.ndarray:
    """
    Embeds sentences; equal sentences are embedded once.

    Args:
        model: in evaluation mode during the call; its mode is restored.
        processor: the model's own.
        captions: sentences, none empty.
        batch_size: sentences at a time.
        progress: show a progress bar.
        pooled: return the text tower's pooled vectors before the projection.

    Returns:
        ``(captions, projection_dim)`` float32 of unit length; with ``pooled``,
        ``(captions, text hidden_size)``.
    """
    distinct = sorted(set(captions), key=lambda caption: (len(caption), caption))
    vectors: dict[str, np.ndarray] = {}
    with evaluation_mode(model):
        starts = range(0, len(distinct), batch_size)
        for start in tqdm(starts, desc="captions", unit="batch", disable=not progress):
            part = distinct[start : start + batch_size]
            inputs = processor(text=part, allow_file_names=True).to(model.device)
            if pooled:
                rows = model.pool_text(**inputs)
            else:
                rows = model.get_text_features(**inputs).pooler_output
            vectors.update(zip(part, rows.float().cpu().numpy(), strict=True))
    width = model.config.text_config.hidden_size if pooled else model.config.projection_dim
    return np.array([vectors[caption] for caption in captions], dtype=np.float32).reshape(-1, width)


class evaluation_mode:
    """
    Puts a model into evaluation mode within a `with` block, and restores its mode afterwards.

    On a GPU it also switches off TF32, which cuDNN uses for convolutions by default: float32 is float32 there too.
    """

    def __init__(self, model: torch.nn.Module):
        self.model = model
        self.modes: list[tuple[torch.nn.Module, bool]] = []
        self.exact: exact_float32 | None = None

    def __enter__(self) -> None:
        self.modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        first = next(self.model.parameters(), None)
        if first is not None and first.device.type == "cuda":
            self.exact = exact_float32()
            self.exact.__enter__()

    def __exit__(self, *exception: object) -> None:
        for module, training in self.modes:
            module.training = training
        if self.exact is not None:
            self.exact.__exit__(*exception)


@torch.no_grad()
def pool_windows(
    model: AuricleModel, extractor: AuricleFeatureExtractor, waveforms: np.ndarray, lengths: Sequence[int]
) -> np.ndarray:
    """
    Segment vectors of windows before the projection, ``(windows, hidden_size)``.

    On a CPU every window passes the tower by itself: a batch is not faster there, and BEATs cuts off only the padding
    that all windows of a batch share.

    Args:
        model: the dual encoder.
        extractor: its own.
        waveforms, lengths: as of [`AudioTextEncoder.pool_windows`].
    """
    real = extractor.at_least_shortest(lengths)
    inputs = extractor.encode(waveforms, real, [1] * len(real), None, model.device)
    features, mask = inputs["input_features"], inputs.get("audio_attention_mask")
    size = 1 if model.device.type == "cpu" else max(1, len(features))
    with evaluation_mode(model):
        parts = [
            model.pool_audio(
                features[start : start + size].to(model.device),
                None if mask is None else mask[start : start + size].to(model.device),
            )
            for start in range(0, max(1, len(features)), size)
        ]
    return torch.cat(parts).float().cpu().numpy()


@torch.no_grad()
def embed_frames(
    model: AuricleModel,
    processor: AuricleProcessor,
    waveforms: np.ndarray,
    lengths: Sequence[int],
    *,
    frame_seconds: float,
) -> np.ndarray:
    """
    Means of the audio tower's columns of patches over each frame, projected.

    Args:
        model: the dual encoder.
        processor: its own.
        waveforms: float32 ``(windows, samples of a window)``.
        lengths: real samples of each window.
        frame_seconds: length of a frame.

    Returns:
        float32 ``(windows, frames of a window, width)``; padded with zeros.
    """
    config, extractor = model.config.audio_config, processor.feature_extractor
    real = extractor.at_least_shortest(lengths)
    inputs = extractor.encode(waveforms, real, [1] * len(real), None, model.device)
    mask = inputs.get("audio_attention_mask")
    with evaluation_mode(model):
        columns = model.pool_audio_columns(
            inputs["input_features"].to(model.device), None if mask is None else mask.to(model.device)
        )
    frames = frames_per_window(config, extractor.segment_seconds)
    rows = np.zeros((len(real), frames, model.config.projection_dim), dtype=np.float32)
    for place, length in enumerate(real):
        own = columns[place]
        if mask is not None and getattr(config, "padding_mask", "") == "exact":
            # Whether columns that reach into padding exist depends on batch and engine.
            own = own[: int(mask[place].sum()) // config.patch_size]
        weights = frame_weights(
            config,
            len(own),
            frame_seconds=frame_seconds,
            mel_hop_seconds=extractor.hop_length / extractor.sampling_rate,
            real_seconds=length / extractor.sampling_rate,
        )
        pooled = torch.from_numpy(weights).to(own) @ own
        rows[place, : len(weights)] = model.project_frames(pooled).float().cpu().numpy()
    return rows


def token_counts(tokenizer: Any, sentences: list[str]) -> list[int]:
    """Number of tokens of each sentence, without padding or truncation."""
    # Quiet: that a caption is longer than the model's limit is what is asked here.
    options = {"padding": False, "truncation": False, "verbose": False}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not hasattr(backend, "encode_batch_fast"):
        return [len(ids) for ids in tokenizer(sentences, **options)["input_ids"]]
    # Sets the backend's padding and truncation; of the tokens themselves only the number is wanted.
    tokenizer(sentences[:1], **options)
    return [len(encoding) for encoding in backend.encode_batch_fast(sentences)]


def distinct_in_order(values: Iterable[Any]) -> list[Any]:
    """The distinct values, each at its first place."""
    return list(dict.fromkeys(values))


def frames_per_window(audio_config: Any, window_seconds: float) -> int:
    """
    Number of frames of a window: equal parts of about half a second, not shorter than a column.

    Args:
        audio_config: config of a tower.
        window_seconds: length of a window.
    """
    return max(1, min(round(window_seconds / FRAME_SECONDS), audio_config.num_time_patches))


def frame_weights(
    audio_config: Any,
    columns: int,
    *,
    frame_seconds: float,
    mel_hop_seconds: float,
    real_seconds: float,
) -> np.ndarray:
    """
    Weights that average a segment's columns of patches into its frames.

    A frame is the mean of the columns whose centres are in it. Columns that reach into padding are ignored; a frame
    without such a column takes the nearest one.

    Args:
        audio_config: config of the tower: ``patch_size`` and, where it has one, ``time_stride``, in mel frames.
        columns: columns of patches, as the tower returned them.
        frame_seconds: length of a frame.
        mel_hop_seconds: time between mel frames.
        real_seconds: how much of the segment is sound.

    Returns:
        ``(real frames, columns)`` float32, rows that add up to 1.
    """
    patch = audio_config.patch_size
    stride = getattr(audio_config, "time_stride", patch)
    starts = np.arange(columns) * stride * mel_hop_seconds
    centres, ends = starts + patch * mel_hop_seconds / 2, starts + patch * mel_hop_seconds
    usable = max(1, int((ends <= real_seconds + mel_hop_seconds / 2).sum()))
    frames = max(1, int(np.ceil(real_seconds / frame_seconds - 1e-6)))
    weights = np.zeros((frames, columns), dtype=np.float32)
    for frame in range(frames):
        inside = (centres[:usable] >= frame * frame_seconds) & (
            centres[:usable] < (frame + 1) * frame_seconds
        )
        if not inside.any():
            middle = (frame + 0.5) * frame_seconds
            inside = np.arange(usable) == int(np.argmin(np.abs(centres[:usable] - middle)))
        weights[frame, :usable] = inside / inside.sum()
    return weights
