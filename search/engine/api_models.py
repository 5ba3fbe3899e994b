"""Requests and results of the JSON API, version 1; names and defaults follow [`SoundIndex`]."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..query.answers import DEFAULT_RANKING

MOST_ANSWERS = 10_000
MOST_LETTERS = 10_000
SHORTEST_HOP = 0.1  # seconds, as of `auricle moments --hop`

Text = Annotated[str, Field(max_length=MOST_LETTERS)]
Path = Annotated[str, Field(max_length=MOST_LETTERS, description="Absolute path of a recording.")]
Top = Annotated[int, Field(strict=True, ge=1, le=MOST_ANSWERS, description="Results at most.")]
Ranking = Literal["window", "clip"]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
LABELS = Field(
    default="fields",
    description="How `why_empty` calls the filters: by the names of this API, or as options of the command.",
)


class Request(BaseModel):
    """Unknown fields are errors, since they may be misspelt filters."""

    model_config = ConfigDict(extra="forbid")


class FilteredRequest(Request):
    """Filters of files; a file has to pass all of them."""

    glob: Text | None = Field(
        None, description="Pattern of the path, such as `*/rain/*`, also from an indexed folder on."
    )
    tag: Text | None = Field(None, description="A folder's name, or a tag of the metadata.")
    min_duration: Seconds | None = Field(None, description="Only files of at least so many seconds.")
    max_duration: Seconds | None = Field(None, description="Only files of at most so many seconds.")
    license: Text | None = Field(None, description="As given in the metadata.")
    metadata: dict[Text, Text] = Field(default_factory=dict, description="Values by name, each exactly.")
    file_type: Text | None = Field(None, description="Ending of the file's name, such as `flac`.")
    min_score: Seconds | None = Field(None, description="Minimum score.")
    exact: bool = Field(False, description="Compare with every window, also in a large index.")
    labels: Literal["fields", "options"] = LABELS

    def filters(self) -> dict[str, Any]:
        """Arguments of [`Filters`]."""
        names = ("glob", "tag", "min_duration", "max_duration", "license", "metadata", "file_type")
        return {name: getattr(self, name) for name in names}


class SearchRequest(FilteredRequest):
    """Find the sounds that a sentence describes, each at its best moment."""

    query: Text = Field(description='The sentence; `-word` and `-"some words"` in it are unwanted.')
    top: Top = 10
    negative: list[Text] = Field(default_factory=list, description="Sentences that should not fit.")
    names: bool = Field(False, description="Rank by the words of file names and folders too.")
    rank: Ranking = Field(DEFAULT_RANKING, description="By a file's best window, or by the whole file.")
    file: Path | None = Field(None, description="Search within this file of the index only.")

    def filters(self) -> dict[str, Any]:
        """Arguments of [`Filters`]."""
        return super().filters() | {"file": self.file}


class SearchAddress(SearchRequest):
    """The same as parameters of an address."""

    # Numbers come as text here.
    top: Annotated[int, Field(ge=1, le=MOST_ANSWERS, description="Results at most.")] = 10
    metadata: list[Text] = Field(default_factory=list, description="`NAME=VALUE`; may be repeated.")  # type: ignore[assignment]


class SimilarRequest(FilteredRequest):
    """Find the sounds that are most similar to a recording, or to a part of it; the recording itself is skipped."""

    path: Path
    start: Seconds = Field(0.0, ge=0, description="Of the part, seconds.")
    end: Seconds | None = Field(None, description="Of the part, seconds; the end of the file if not given.")
    top: Top = 10
    rank: Ranking | None = Field(
        None, description="By default a whole file is compared with files, a part with windows."
    )


class MomentsRequest(Request):
    """Find the times in a recording that a sentence describes."""

    path: Path
    query: Text = Field(description="The sentence.")
    top: Top = 5
    hop_seconds: Seconds | None = Field(
        None,
        # Without a minimum, one request could ask for a window per nanosecond and block all others.
        ge=SHORTEST_HOP,
        description="From one window's start to the next one's; half a window, or a second for dense.",
    )
    threshold: Seconds | None = Field(
        None, description="How much lower than its best window a span's windows may score."
    )
    edges: Literal["dense", "frames", "windows"] | None = Field(
        None, description="How moments are found; dense where the index or the model allows it, else windows."
    )
    min_percentile: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Minimum percentile of a moment: share of common queries that it exceeds, in per cent.",
    )
    labels: Literal["fields", "options"] = LABELS


class FoundSound(BaseModel):
    """One result: a moment of a recording."""

    path: str
    start: float = Field(description="Of the moment, seconds.")
    end: float
    score: float = Field(description="Score that results are ranked by.")
    cosine: float
    percentile: float | None = Field(description="Share of common queries with a lower score; null by sound.")
    duration: float = Field(description="Of the file, seconds.")
    tags: list[str]
    license: str | None
    metadata: dict[str, str]
    digest: str | None = Field(None, description="SHA-256 of the file's content; copies have the same.")


class FoundSounds(BaseModel):
    """Results, the best first; if there are none, the filter that excludes all files, and similar values."""

    results: list[FoundSound]
    why_empty: list[str] = Field(default_factory=list)
    notes: list[str] = Field(
        default_factory=list, description="For example, that the query is longer than the model's limit."
    )


class Status(BaseModel):
    """The state of the engine."""

    version: str = Field(description="Of auricle.")
    api: Literal["v1"] = "v1"
    index: str
    identity: str | None = Field(description="What `If-Match` is compared with; null in an object store.")
    model: str
    fingerprint: str
    precision: str
    files: int
    window_seconds: float
    missing_model: str = Field(description="What to do if the model is not where it was; empty if it is.")


class Failure(BaseModel):
    """Why a request was not answered, in one line."""

    error: str


__all__ = [
    "Failure",
    "FoundSound",
    "FoundSounds",
    "MomentsRequest",
    "SearchAddress",
    "SearchRequest",
    "SimilarRequest",
    "Status",
]
