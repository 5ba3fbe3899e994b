"""
ESC-10's recordings, layered to scenes of two and three events under captions that leave things out.

Real recordings under planted truth: which captions are true of which scenes is known, since the scenes are made here.
A fold of ESC-10 never shares a recording with another one; a scene mixes recordings of one fold alone.
"""

import functools
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scene_data import SceneSplit, read_splits, write_splits

from auricle.data.augmentation.caption_mixing import measure_level
from auricle.data.scenes import Claims, PartClaim, caption_fits
from auricle.data.scenes.descriptions import Part, SceneDescription
from auricle.processing.audio_reading import load_waveform
from auricle.processing.sound_mix import FORMAT, SUFFIX, VERSION, render_mix
from auricle.training.models.model_building import BuiltModel

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_esc10_folder import read_labels

TEST_FOLD = "5"
NAMES = {
    "baby cry": ("a baby crying", "a crying baby", "an infant that cries"),
    "chainsaw": ("a chainsaw", "a chainsaw running", "someone sawing with a chainsaw"),
    "clock tick": ("a ticking clock", "a clock ticking", "the ticks of a clock"),
    "dog bark": ("a dog barking", "a barking dog", "the barks of a dog"),
    "fire crackling": ("a crackling fire", "a fire crackling", "burning wood that crackles"),
    "helicopter": ("a helicopter", "a helicopter flying", "the rotor of a helicopter"),
    "person sneeze": ("a person sneezing", "someone who sneezes", "a sneeze"),
    "rain": ("rain", "falling rain", "rain falling"),
    "rooster": ("a rooster crowing", "a crowing rooster", "the crow of a rooster"),
    "sea waves": ("sea waves", "waves of the sea", "waves breaking on a shore"),
}
_LOUDNESS = {None: "{}", "loud": "{} in the foreground", "faint": "{} in the background"}
_TEMPLATES = {
    "then": ("{} and then {}", "{}, followed by {}", "first {}, after that {}"),
    "while": ("{} together with {}", "{} while there is {}", "at the same time {} and {}"),
    None: ("{}", "the sound of {}", "there is {}"),
}
# Decibels over the ones without a mark; a pair of marked events is 12 dB apart.
_LEVELS = {None: 0.0, "loud": 4.0, "faint": -8.0}
_THREE_EVENTS, _THEN, _MARKED = 0.4, 0.4, 0.5
_SAYS_LOUDNESS, _SAYS_RELATION = 0.5, 0.6


@dataclass(frozen=True)
class MixSettings:
    """
    How many scenes, and how long they are.

    Attributes:
        train_scenes: of the student, half of them from one fold of ESC-10 and half from another; as many again, of
            two other folds, are what the teachers that saw other data learned from.
        test_scenes: of the test fold.
        seconds: of a scene.
        sampling_rate: Hz.
        captions: of each scene.
        version: of this module; to be raised when it makes other scenes.
    """

    train_scenes: int = 400
    test_scenes: int = 300
    seconds: float = 5.0
    sampling_rate: int = 16_000
    captions: int = 3
    version: int = 1


@dataclass(frozen=True)
class Scene:
    """A scene to be rendered: what is in it, the recording of each part, its captions and their statements."""

    fold: str
    description: SceneDescription
    recordings: tuple[str, ...]
    captions: tuple[tuple[str, Claims], ...]


def draw_scene(
    fold: str, recordings: dict[str, Sequence[str]], captions: int, rng: np.random.Generator
) -> Scene:
    """
    Two or three events of different classes, their recordings and captions.

    Args:
        fold: of ESC-10, to be recorded.
        recordings: paths by class, all of this fold.
        captions: how many; the first says everything.
        rng: draws.
    """
    count = 3 if rng.random() < _THREE_EVENTS else 2
    kinds = [sorted(recordings)[number] for number in rng.choice(len(recordings), count, replace=False)]
    relation = "then" if count == 2 and rng.random() < _THEN else "while"
    marks: list[str | None] = [None] * count
    if relation == "while" and rng.random() < _MARKED:
        marks[:2] = ["loud", "faint"]
    parts = tuple(Part(kind, loudness=mark) for kind, mark in zip(kinds, marks, strict=True))
    description = SceneDescription(relation, parts)
    chosen = tuple(str(rng.choice(recordings[kind])) for kind in kinds)
    said = [draw_claims(description, rng, complete=number == 0) for number in range(captions)]
    return Scene(fold, description, chosen, tuple((put_into_words(claims, rng), claims) for claims in said))


def draw_claims(scene: SceneDescription, rng: np.random.Generator, *, complete: bool) -> Claims:
    """Statements of a caption; one that is not complete leaves out an event at least, or what marks or relates them."""
    parts = list(scene.parts)
    if not complete:
        kept = rng.choice(len(parts), int(rng.integers(1, len(parts) + 1)), replace=False)
        parts = [parts[number] for number in sorted(kept)]
    says_loudness = complete or rng.random() < _SAYS_LOUDNESS
    claims = tuple(PartClaim(part.kind, loudness=part.loudness if says_loudness else None) for part in parts)
    says_relation = len(parts) == len(scene.parts) and (complete or rng.random() < _SAYS_RELATION)
    return Claims(scene.relation if says_relation else None, claims)


def put_into_words(claims: Claims, rng: np.random.Generator) -> str:
    """A sentence that makes these statements, in one of several wordings."""
    phrases = [
        _LOUDNESS[part.loudness].format(NAMES[part.kind][int(rng.integers(3))]) for part in claims.parts
    ]
    if claims.relation != "then":
        phrases = [phrases[number] for number in rng.permutation(len(phrases))]
    head, *rest = phrases
    said = " and ".join([", ".join([head, *rest[:-1]]), *rest[-1:]])
    template = _TEMPLATES[claims.relation][int(rng.integers(3))]
    if template.count("{}") == 2:
        text = template.format(" and ".join(phrases[:-1]), phrases[-1])
    else:
        text = template.format(said)
    return f"{text[0].upper()}{text[1:]}."


def mix_description(scene: Scene, settings: MixSettings, rng: np.random.Generator) -> dict:
    """What a mix file says of a scene: its recordings, where each one starts and how loud it is."""
    half = settings.seconds / 2
    then = scene.description.relation == "then"
    parts, loudest = [], 0.0
    for number, (part, path) in enumerate(zip(scene.description.parts, scene.recordings, strict=True)):
        waveform = _load(path, sampling_rate=settings.sampling_rate)
        offset = _strongest(waveform, round(half * settings.sampling_rate)) if then else 0
        piece = waveform[offset : offset + round(half * settings.sampling_rate)] if then else waveform
        level = measure_level(piece, settings.sampling_rate)
        gain = 10 ** ((_LEVELS[part.loudness] - 25.0 - level.loudness_db + rng.uniform(-1.5, 1.5)) / 20)
        loudest += gain * level.peak
        parts.append(
            {
                "path": path,
                "offset": offset / settings.sampling_rate,
                "duration": half if then else None,
                "start": half * number if then else 0.0,
                "gain": gain,
            }
        )
    for part in parts:
        part["gain"] *= min(1.0, 0.99 / max(loudest, 1e-9))
    return {
        "format": FORMAT,
        "version": VERSION,
        "sampling_rate": settings.sampling_rate,
        "seconds": settings.seconds,
        "parts": parts,
    }


def load_mixes(
    settings: MixSettings, seed: int, esc10: Path, built: BuiltModel, work_dir: Path
) -> dict[str, SceneSplit]:
    """
    The splits of a seed, from the work directory if they are there.

    Args:
        settings: of the scenes.
        seed: of the scenes, and of which folds are the student's and which those of the other teachers.
        esc10: a copy of ESC-10 or ESC-50.
        built: whose feature extractor and text tower make the input.
        work_dir: where mix files and input are kept.

    Returns:
        ``train``, first the student's scenes and then the others', and ``test``. A scene's id begins with its fold.
    """
    wanted = json.dumps(
        [asdict(settings), seed, built.processor.feature_extractor.to_dict()], sort_keys=True, default=str
    )
    kept = work_dir / f"esc10-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.pt"
    if not kept.is_file():
        write_splits(kept, _make(settings, seed, esc10, built, work_dir / f"esc10-mixes-{seed}"))
    return read_splits(kept)


def student_fold(clip_ids: Sequence[str]) -> np.ndarray:
    """int64 ``(clips,)``: 0 or 1, by the fold of ESC-10 that a scene's recordings are of."""
    names = [name.split("/")[0] for name in clip_ids]
    return np.array([sorted(set(names)).index(name) for name in names])


def _make(
    settings: MixSettings, seed: int, esc10: Path, built: BuiltModel, directory: Path
) -> dict[str, SceneSplit]:
    rng = np.random.default_rng(seed)
    recordings: dict[str, dict[str, list[str]]] = {}
    for row in read_labels(esc10):
        by_class = recordings.setdefault(row["fold"], {})
        by_class.setdefault(row["label"], []).append(str((esc10 / row["path"]).resolve()))
    folds = [str(fold) for fold in rng.permutation([fold for fold in recordings if fold != TEST_FOLD])]
    half = settings.train_scenes // 2
    plan = {"train": [(fold, half) for fold in folds], "test": [(TEST_FOLD, settings.test_scenes)]}
    made = {}
    for name, parts in plan.items():
        scenes = [
            draw_scene(fold, recordings[fold], settings.captions, rng)
            for fold, count in parts
            for _ in range(count)
        ]
        made[name] = _split(scenes, settings, built, directory / name, rng)
    return made


def _split(
    scenes: Sequence[Scene],
    settings: MixSettings,
    built: BuiltModel,
    directory: Path,
    rng: np.random.Generator,
) -> SceneSplit:
    directory.mkdir(parents=True, exist_ok=True)
    extractor, features = built.processor.feature_extractor, []
    for number, scene in enumerate(scenes):
        path = directory / f"{number:04d}{SUFFIX}"
        path.write_text(json.dumps(mix_description(scene, settings, rng)) + "\n", encoding="utf-8")
        waveform, rate = render_mix(path, _load, offset=0.0, duration=None)
        features.append(extractor({"array": waveform, "sampling_rate": rate})["input_features"][0])
    captions = [text for scene in scenes for text, _ in scene.captions]
    claims = [said for scene in scenes for _, said in scene.captions]
    distinct = sorted(set(captions))
    pooled = dict(zip(distinct, built.encoder().pool_texts(distinct), strict=True))
    truth = [[caption_fits(said, scene.description) for said in claims] for scene in scenes]
    return SceneSplit(
        torch.stack(features),
        torch.from_numpy(np.stack([pooled[caption] for caption in captions])),
        np.repeat(np.arange(len(scenes)), settings.captions),
        np.array(truth),
        tuple(f"fold-{scene.fold}/{number:04d}" for number, scene in enumerate(scenes)),
    )


@functools.lru_cache(maxsize=400)
def _whole(path: str, sampling_rate: int) -> np.ndarray:
    return load_waveform(path, sampling_rate=sampling_rate, downmix="mean")


def _load(path: str, *, sampling_rate: int, offset: float = 0.0, duration: float | None = None) -> np.ndarray:
    """A recording, or a part of it; each is decoded once."""
    first = round(offset * sampling_rate)
    length = None if duration is None else first + round(duration * sampling_rate)
    return _whole(path, sampling_rate)[first:length]


def _strongest(waveform: np.ndarray, length: int) -> int:
    """Where the part of a length with the most energy begins."""
    if len(waveform) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(waveform.astype(np.float64) ** 2)])
    return int((energy[length:] - energy[:-length]).argmax())
