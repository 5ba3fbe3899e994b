"""The generated scenes as a cached `datasets.DatasetDict` in the project's schema."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from datasets import (
    Dataset,
    DatasetDict,
    List,
    Value,
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    load_from_disk,
)
from filelock import FileLock
from tqdm.auto import tqdm

from ...files.replacing import replace_path
from ..schema import CaptionedClip, DataError, build_table
from .captions import write_captions
from .claims import content_to_json
from .descriptions import SPLITS, SceneDescription, capacity, describe_scene
from .held_out_vocabularies import UNSEEN_WORDINGS
from .overlapping_captions import write_overlapping_captions
from .rendering import render_scene
from .vocabulary import TRAINING

SOURCE = "scenes"
LICENSE = "CC0-1.0"
_TABLE = "table"
_EXTRA_COLUMNS = {"scene": Value("string"), "kinds": List(Value("string"))}
_TRUTH_COLUMNS = {"content": Value("string"), "claims": Value("string")}


@dataclass(frozen=True)
class SceneSettings:
    """Settings of the generated scenes.

    Attributes:
        train_scenes: Number of training scenes, at least 1.
        validation_scenes: Number of validation scenes, at least 1; bounded by the number of different ones.
        test_scenes: As for validation.
        seconds: Length of every scene, 3 to 30.
        sampling_rate: Hz, 16,000 to 48,000.
        seed: an integer, 0 or more. Another seed gives other scenes and other splits.
        overlap: Scenes of few kinds with captions that omit things, so that many captions are true of several
            clips, as in Clotho; the columns `content` (of a clip) and `claims` (of a caption) contain the planted
            truth, see `fitting_matrix`.
    """

    train_scenes: int = 1200
    validation_scenes: int = 200
    test_scenes: int = 200
    seconds: float = 5.0
    sampling_rate: int = 16_000
    seed: int = 0
    overlap: bool = False

    def __post_init__(self) -> None:
        for name in ("train_scenes", "validation_scenes", "test_scenes"):
            if not (isinstance(getattr(self, name), int) and getattr(self, name) >= 1):
                raise DataError(f"{name} is {getattr(self, name)!r}, but must be an integer, 1 or more")
        if not (isinstance(self.seed, int) and self.seed >= 0):
            raise DataError(f"seed is {self.seed!r}, but must be an integer, 0 or more")
        if not 3 <= self.seconds <= 30:
            raise DataError(f"seconds is {self.seconds!r}, but must be 3 to 30")
        if not (isinstance(self.sampling_rate, int) and 16_000 <= self.sampling_rate <= 48_000):
            raise DataError(f"sampling_rate is {self.sampling_rate!r}, but must be 16000 to 48000 Hz")
        for split in ("validation", "test"):
            most = capacity(self.seed, split)
            # Overlapping scenes need not be distinguishable.
            if not self.overlap and self.scenes(split) > most:
                raise DataError(
                    f"{split}_scenes is {self.scenes(split)}, but seed {self.seed} gives at most "
                    f"{most} scenes with distinct captions"
                )

    def scenes(self, split: str) -> int:
        """Number of scenes in "train", "validation" or "test"."""
        return int(getattr(self, f"{split}_scenes"))

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the settings and with the generator's code."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for module in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(module.read_bytes())
        return digest.hexdigest()[:16]


def load_scenes(
    settings: SceneSettings | None = None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> DatasetDict:
    """The scenes, rendered on the first call and read from the cache on every later one.

    Splits are "train", "validation", "test", "test_unseen_wording" and "test_second_unseen_wording"; the last two hold
    the clips of "test" (with the same `clip_id`) under captions in words and sentences that no other split uses. Two
    columns go beyond the schema: `scene`, the full description, and `kinds`, the event kinds in it.

    Rendering may be interrupted at any moment and is then continued by the next call. Of several processes
    that call at once, one renders and the others wait.

    Args:
        settings: Defaults to `SceneSettings()`.
        cache_dir: Where the folder `scenes-<fingerprint>` is; by default `$AURICLE_CACHE`, and failing
            that `~/.cache/auricle`.
        progress: Whether to show a progress bar while rendering.

    Raises:
        DataError: The cache cannot be written.
    """
    settings = settings or SceneSettings()
    root = Path(cache_dir or os.environ.get("AURICLE_CACHE") or Path.home() / ".cache" / "auricle").absolute()
    folder = root / f"scenes-{settings.fingerprint()}"
    if not _missing_clips(settings, folder) and _table_is_current(folder):
        return load_from_disk(folder / _TABLE)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            _render(settings, folder, _missing_clips(settings, folder), progress)
            if not _table_is_current(folder):
                _write_table(settings, folder)
            return load_from_disk(folder / _TABLE)
    except OSError as error:
        raise DataError(f"{folder}: cannot write the cache of generated scenes ({error})") from error


def _describe(settings: SceneSettings, split: str, index: int) -> SceneDescription:
    return describe_scene(settings.seed, split, index, settings.overlap)


def _clip_path(folder: Path, split: str, index: int, description: SceneDescription) -> Path:
    return folder / split / f"{index:04d}-{description.slug}.wav"


def _generator(settings: SceneSettings, split: str, index: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, SPLITS.index(split), index, purpose])


def _missing_clips(settings: SceneSettings, folder: Path) -> list[tuple[str, int]]:
    missing = []
    for split in SPLITS:
        present = set(os.listdir(folder / split)) if (folder / split).is_dir() else set()
        for index in range(settings.scenes(split)):
            if _clip_path(folder, split, index, _describe(settings, split, index)).name not in present:
                missing.append((split, index))
    return missing


def _render(settings: SceneSettings, folder: Path, clips: list[tuple[str, int]], progress: bool) -> None:
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
    for split, index in tqdm(clips, desc="rendering scenes", unit="scene", disable=not (progress and clips)):
        description = _describe(settings, split, index)
        path = _clip_path(folder, split, index, description)
        rng = _generator(settings, split, index, 1)
        samples = render_scene(description, rng, settings.seconds, settings.sampling_rate)
        # A file gets its final name only when it is complete, even if the process is killed.
        unfinished = path.with_suffix(".part")
        soundfile.write(unfinished, samples, settings.sampling_rate, subtype="PCM_16", format="WAV")
        replace_path(unfinished, path)


def _table_is_current(folder: Path) -> bool:
    """Whether there is a table with the paths of this folder: they are absolute, and a cache may be moved."""
    if not (folder / _TABLE).is_dir():
        return False
    table = load_from_disk(folder / _TABLE)
    return Path(table["test"][0]["audio"]["path"]).parent == folder / "test"


def _write_table(settings: SceneSettings, folder: Path) -> None:
    table = DatasetDict({split: _build_split(settings, folder, split, split) for split in SPLITS})
    for label in UNSEEN_WORDINGS:
        table[label] = _build_split(settings, folder, "test", label)
    unfinished = folder / f"{_TABLE}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    with _quiet_datasets():
        table.save_to_disk(unfinished)
    shutil.rmtree(folder / _TABLE, ignore_errors=True)
    replace_path(unfinished, folder / _TABLE)


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Without the one progress bar a split that `datasets` shows for a fraction of a second."""
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _build_split(settings: SceneSettings, folder: Path, split: str, label: str) -> Dataset:
    # Draws of captions: 2 for a split's own, then one for each unseen wording, in their order.
    draw = 3 + list(UNSEEN_WORDINGS).index(label) if label in UNSEEN_WORDINGS else 2
    vocabulary = UNSEEN_WORDINGS.get(label, TRAINING)
    row_mark = label.removeprefix("test_").removesuffix("_wording").replace("_", "-")
    rows = []
    for index in range(settings.scenes(split)):
        description = _describe(settings, split, index)
        rng = _generator(settings, split, index, draw)
        path = _clip_path(folder, split, index, description)
        count = int(rng.integers(3, 6))
        extra = {"scene": description.key, "kinds": [part.kind for part in description.parts]}
        claims = None
        if settings.overlap:
            captions, said = zip(
                *write_overlapping_captions(description, vocabulary, rng, count), strict=True
            )
            claims = [one.to_json() for one in said]
            extra["content"] = content_to_json(description)
        else:
            captions = write_captions(description, vocabulary, rng, count)
        clip = CaptionedClip(
            source=SOURCE,
            split=split,
            name=path.stem,
            path=path,
            captions=captions,
            license=LICENSE,
            extra=extra,
        )
        for number, row in enumerate(clip.rows()):
            row_id = (
                row["row_id"].replace("#", f"#{row_mark}-") if label in UNSEEN_WORDINGS else row["row_id"]
            )
            row = {**row, "row_id": row_id, "split": label}
            rows.append(row if claims is None else {**row, "claims": claims[number]})
    return build_table(rows, _EXTRA_COLUMNS | (_TRUTH_COLUMNS if settings.overlap else {}))
