"""The recipe's data section: the datasets, and how they are read."""

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator


class Settings(BaseModel):
    """Base of all sections: an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _read_as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """A section whose fields are all commented out is an empty one; `true` is not a number."""
        annotation = cls.model_fields[info.field_name].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("must be a number")
        is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return {} if value is None and (is_section or annotation == dict[str, Any]) else value


SourceName = Literal["scenes", "folder", "clotho", "audiocaps", "wavcaps", "hub"]


class SceneSection(Settings):
    """Settings of the built-in generated scenes."""

    weight: float = Field(1.0, gt=0, description="As for the other datasets.")

    train_scenes: int = Field(1200, ge=1, description="Number of training scenes.")
    validation_scenes: int = Field(
        200, ge=1, description="Number of validation scenes, which choose the best checkpoint."
    )
    test_scenes: int = Field(200, ge=1, description="Number of scenes of each test set.")
    seconds: float = Field(5.0, gt=0, description="Length of a scene in seconds.")
    sampling_rate: int = Field(
        16000, ge=8000, le=192000, description="Sampling rate of the rendered files in Hz."
    )
    seed: int = Field(0, ge=0, description="Random seed of the scenes.")
    overlap: bool = Field(
        False,
        description="Make scenes of few kinds, whose captions fit several clips, and record which clips they fit.",
    )


class SourceSection(Settings):
    """Fields that the sections of all datasets share."""

    weight: float = Field(
        1.0,
        gt=0,
        description="How often an epoch uses the dataset's rows; below 1, a part of them in each epoch.",
    )


class PublishedSection(SourceSection):
    """A dataset in its publishers' layout."""

    path: str | None = Field(None, description="Directory in the publishers' layout (auricle data check).")
    missing: Literal["error", "skip"] = Field(
        "error", description="What to do if a clip is missing: error, or skip it."
    )
    train_splits: list[Literal["train", "validation", "test"]] = Field(
        ["train"], min_length=1, description="Splits to train on."
    )


class ClothoSection(PublishedSection):
    """Settings of Clotho v2.1."""


class AudioCapsSection(PublishedSection):
    """Settings of AudioCaps."""


class WavCapsSection(SourceSection):
    """Settings of WavCaps, all of which is for training."""

    path: str | None = Field(None, description="Directory with json_files and the folders of clips.")
    missing: Literal["error", "skip"] = Field(
        "error", description="What to do if a clip is missing: error, or skip it."
    )
    collections: list[Literal["FreeSound", "BBC_Sound_Effects", "SoundBible", "AudioSet_SL"]] | None = Field(
        None, description="Collections to train on. Default: all whose JSON file is there."
    )


class HubSection(SourceSection):
    """Settings of a dataset of the Hub, or of a directory in one of its formats."""

    name: str | None = Field(None, description="Hub id or directory.")
    config_name: str | None = Field(None, description="Configuration of the dataset.")
    revision: str | None = Field(None, description="Branch, tag or commit.")
    splits: dict[str, str] = Field(
        {"train": "train"}, description="Names of its splits: train, validation, test..."
    )
    audio_column: str = Field("audio", description="Column with the audio.")
    caption_column: str = Field("caption", description="Column with a sentence or a list of sentences.")
    id_column: str | None = Field(
        None, description="Column that identifies a clip. Default: rows are numbered."
    )
    license: str = Field("unknown", description="License of the recordings, for the table.")
    max_clips: int | None = Field(None, ge=1, description="Maximum number of clips of each split.")
    streaming: bool = Field(False, description="Fetch rows one by one instead of whole files.")


class ExcludeSection(Settings):
    """Recordings that training excludes, by their Freesound and YouTube ids."""

    evaluated: bool = Field(True, description="Recordings of the run's own validation and test splits.")
    freesound_ids: str | None = Field(
        None, description="CSV file with a column sound_id, such as DCASE's list of excluded ids."
    )


class FolderSection(SourceSection):
    """Settings of a captioned folder."""

    path: str | None = Field(None, description="Directory with the audio and metadata.csv or metadata.jsonl.")
    caption_column: str | None = Field(
        None, description="Column with the captions. Default: caption, caption_1, ... or captions."
    )
    license: str = Field("unknown", description="License of the recordings, for the table.")
    missing: Literal["error", "skip"] = Field(
        "error", description="What to do if a file is missing: error, or skip it."
    )
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="Share of clips held out for validation if there is no split column."
    )
    test_share: float = Field(
        0.1, ge=0, lt=1, description="Share of clips held out for testing if there is no split column."
    )
    group_column: str | None = Field(
        None,
        description="Column whose values are held out whole, such as the recording that clips are excerpts of. "
        "Default: each clip by itself.",
    )

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> "FolderSection":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share must add up to less than 1")
        return self


class HoldOutFoldSection(Settings):
    """Part of the training clips that a stage does not see."""

    folds: int = Field(ge=2, description="Number of folds that the clips are divided into.")
    fold: int = Field(ge=0, description="The fold that is left out, 0 to folds - 1.")
    seed: int = Field(0, ge=0, description="Random seed of the division.")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "HoldOutFoldSection":
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds; the last one is {self.folds - 1}")
        return self


class DataSection(Settings):
    """The datasets, and how they are read."""

    source: SourceName | list[SourceName] = Field(
        "scenes",
        description="Datasets: all are trained on, and the first one is evaluated on.",
    )
    scenes: SceneSection = Field(default_factory=SceneSection, description="For source: scenes.")
    folder: FolderSection = Field(default_factory=FolderSection, description="For source: folder.")
    clotho: ClothoSection = Field(default_factory=ClothoSection, description="For source: clotho.")
    audiocaps: AudioCapsSection = Field(
        default_factory=AudioCapsSection, description="For source: audiocaps."
    )
    wavcaps: WavCapsSection = Field(default_factory=WavCapsSection, description="For source: wavcaps.")
    hub: HubSection = Field(default_factory=HubSection, description="For source: hub.")
    exclude: ExcludeSection = Field(
        default_factory=ExcludeSection, description="Recordings that training excludes."
    )
    hold_out_fold: HoldOutFoldSection | None = Field(
        None,
        description="Leave a part of the training clips out: {folds: 2, fold: 0}, with a seed if need be. For "
        "teachers of distillation.cross_fit. Clips are divided by the content of their files.",
    )
    cache_dir: str | None = Field(None, description="Directory for rendered scenes and decoded audio.")
    cache_waveforms: bool = Field(True, description="Decode and resample each training clip once, to disk.")
    check_audio: bool | float = Field(
        True,
        description="Decode every clip once before training and skip unreadable ones. A number from 0 to 1 decodes "
        "that share of each split's clips, drawn by the seed; other unreadable ones are skipped when training "
        "comes to them.",
    )
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="Stop if a larger share of the decoded clips is bad."
    )
    positive_column: str = Field(
        "clip_id",
        description="Rows with the same value in this column are relevant to each other in training.",
    )
    events_column: str = Field(
        "events",
        description="Column with a clip's events for training.frame_phrase_weight: JSON, [[start, end, phrase, label], "
        "...] in seconds; phrases of one label mean the same.",
    )
    max_clip_seconds: float = Field(
        30.0, gt=0, description="Longer clips are cropped to this in training, at a random place."
    )
    crop_seconds: float | None = Field(
        None, gt=0, description="Train on random crops of this length instead, at most one segment."
    )
    gain_db: float = Field(0.0, ge=0, description="Random gain in training, in dB.")
    time_roll: bool = Field(False, description="Rotate training clips by a random time before cropping.")
    mel_fmin_jitter: int = Field(
        0,
        ge=0,
        description="PaSST in training: the lowest mel edge rises by a random amount below this, in Hz.",
    )
    mel_fmax_jitter: int = Field(
        0,
        ge=0,
        description="PaSST in training: the highest mel edge moves at random by up to half of this, in Hz.",
    )

    @field_validator("check_audio")
    @classmethod
    def _is_a_share(cls, value: bool | float) -> bool | float:
        if not 0 <= value <= 1:
            raise ValueError("must be true, false, or a share of the clips from 0 to 1")
        return value

    @field_validator("source")
    @classmethod
    def _name_each_once(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list) and (not value or len(set(value)) < len(value)):
            raise ValueError("must name one or more datasets, each once")
        return value

    @property
    def sources(self) -> list[str]:
        """The datasets, whether one or several are named."""
        return [self.source] if isinstance(self.source, str) else list(self.source)
