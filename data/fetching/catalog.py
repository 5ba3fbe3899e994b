"""Datasets for download: publishers' addresses, checksums if published, and terms."""

from dataclasses import dataclass, field

from .download import FetchError

_ZENODO = "https://zenodo.org/records/4783391/files"
_AUDIOCAPS = "https://raw.githubusercontent.com/cdjkim/audiocaps/master/dataset"
# The challenge's files are in the repository of its baseline; the commit pins their content.
_DCASE = (
    "https://raw.githubusercontent.com/CPJKU/dcase2025_task6_baseline/"
    "c78422fcbed579877919620a30075baccf82bf2b/resources"
)
_GB = 10**9


@dataclass(frozen=True)
class PublishedFile:
    """
    One file of a publisher.

    Attributes:
        name: path below the directory that it is fetched to.
        url: address.
        checksum: the publisher's ``md5:...`` or ``sha256:...``, or None.
        columns: columns that a CSV file's header must have; a response without them is not the file.
        size: size in bytes, if known beforehand.
    """

    name: str
    url: str
    checksum: str | None = None
    columns: tuple[str, ...] = ()
    size: int | None = None


@dataclass(frozen=True)
class Archive:
    """
    An archive, which is unpacked and then removed.

    Attributes:
        kind: ``7z``, one file; or ``zip``, the parts of one archive in their own folder.
        files: the archive's parts.
        target: folder below the directory that it is unpacked to; empty for the directory itself.
        unpacked_bytes: approximate size of its content.
    """

    kind: str
    files: tuple[PublishedFile, ...]
    target: str
    unpacked_bytes: int

    @property
    def name(self) -> str:
        """Name of the last part, which identifies the archive."""
        return self.files[-1].name


@dataclass(frozen=True)
class Fetchable:
    """
    A dataset, or a list that belongs to one.

    Attributes:
        name: name for the command.
        title: full name.
        terms: lines on its authors and its licence.
        files: downloaded without unpacking.
        archives: fetched and unpacked.
        hub_repo: dataset on the Hub whose listed files replace the two fields above.
        afterwards: lines on further steps.
    """

    name: str
    title: str
    terms: tuple[str, ...]
    files: tuple[PublishedFile, ...] = ()
    archives: tuple[Archive, ...] = ()
    hub_repo: str | None = None
    afterwards: tuple[str, ...] = field(default=())


def _clotho_csv(kind: str, split: str, md5: str) -> PublishedFile:
    name = f"clotho_{kind}_{split}.csv"
    columns = ("file_name", "caption_1" if kind == "captions" else "sound_id")
    return PublishedFile(name, f"{_ZENODO}/{name}?download=1", f"md5:{md5}", columns)


def _clotho_audio(split: str, md5: str, unpacked_bytes: int) -> Archive:
    name = f"clotho_audio_{split}.7z"
    file = PublishedFile(name, f"{_ZENODO}/{name}?download=1", f"md5:{md5}")
    return Archive("7z", (file,), "", unpacked_bytes)


def _dcase(name: str, original: str, *columns: str) -> PublishedFile:
    return PublishedFile(name, f"{_DCASE}/{original}", None, columns)


CATALOG: dict[str, Fetchable] = {
    one.name: one
    for one in (
        Fetchable(
            "clotho",
            "Clotho v2.1",
            (
                "Clotho v2.1 (Drossos, Lipping and Virtanen, ICASSP 2020), https://zenodo.org/records/4783391",
                "Captions: licence of Tampere University, for non-commercial academic use, with attribution.",
                "Audio: clips of Freesound, each under the Creative Commons licence in the metadata files.",
            ),
            (
                _clotho_csv("captions", "development", "d4090b39ce9f2491908eebf4d5b09bae"),
                _clotho_csv("captions", "validation", "5879e023032b22a2c930aaa0528bead4"),
                _clotho_csv("captions", "evaluation", "1b16b9e57cf7bdb7f13a13802aeb57e2"),
                _clotho_csv("metadata", "development", "170d20935ecfdf161ce1bb154118cda5"),
                _clotho_csv("metadata", "validation", "2e010427c56b1ce6008b0f03f41048ce"),
                _clotho_csv("metadata", "evaluation", "13946f054d4e1bf48079813aac61bf77"),
            ),
            (
                _clotho_audio("development", "c8b05bc7acdb13895bb3c6a29608667e", int(7.1 * _GB)),
                _clotho_audio("validation", "7dba730be08bada48bd15dc4e668df59", 2 * _GB),
                _clotho_audio("evaluation", "4569624ccadf96223f19cb59fe4f849f", 2 * _GB),
            ),
            afterwards=("check it with: auricle data check clotho {directory}",),
        ),
        Fetchable(
            "audiocaps",
            "AudioCaps, captions only",
            (
                "AudioCaps (Kim, Kim, Lee and Kim, NAACL 2019), https://github.com/cdjkim/audiocaps",
                "For academic use. The clips are excerpts of YouTube videos, which belong to their uploaders.",
            ),
            tuple(
                PublishedFile(
                    f"{split}.csv",
                    f"{_AUDIOCAPS}/{split}.csv",
                    None,
                    ("audiocap_id", "youtube_id", "start_time", "caption"),
                )
                for split in ("train", "val", "test")
            ),
            afterwards=(
                "the clips cannot be passed on: get them with a downloader of YouTube excerpts, ten seconds from "
                "start_time each, as {directory}/train/ID_START.wav and so on (docs/data.md)",
                "then: auricle data check audiocaps {directory}",
            ),
        ),
        Fetchable(
            "wavcaps",
            "WavCaps",
            (
                "WavCaps (Mei et al., IEEE/ACM TASLP 2024), https://huggingface.co/datasets/cvssp/WavCaps",
                "For academic use only. Audio of FreeSound, BBC Sound Effects, SoundBible and AudioSet, each under its "
                "source's terms.",
            ),
            hub_repo="cvssp/WavCaps",
            afterwards=("check it with: auricle data check wavcaps {directory} --no-decode",),
        ),
        Fetchable(
            "exclusions",
            "Freesound ids that training for DCASE 2025 Task 6 must exclude",
            ("A list of the DCASE 2025 challenge, https://github.com/CPJKU/dcase2025_task6_baseline",),
            (
                _dcase(
                    "dcase2025_excluded_freesound_ids.csv",
                    "dcase2025_task6_excluded_freesound_ids.csv",
                    "sound_id",
                ),
            ),
            afterwards=(
                "use it as: --data.exclude.freesound_ids {directory}/dcase2025_excluded_freesound_ids.csv",
            ),
        ),
        Fetchable(
            "relevance",
            "relevance of several clips a query, DCASE 2025 Task 6",
            ("Annotations of the DCASE 2025 challenge, https://github.com/CPJKU/dcase2025_task6_baseline",),
            (_dcase("dcase2025_relevance.csv", "metadata_eval.csv", "query", "audio_filenames"),),
            afterwards=(
                "use it as: auricle evaluate MODEL CLOTHO --relevance {directory}/dcase2025_relevance.csv",
            ),
        ),
    )
}


def fetchable_named(name: str) -> Fetchable:
    """
    An entry of the catalogue.

    Raises:
        FetchError: for an unknown name; the message lists the known ones.
    """
    if name not in CATALOG:
        raise FetchError(f"unknown dataset {name!r}; these can be fetched: {', '.join(CATALOG)}.")
    return CATALOG[name]


__all__ = ["CATALOG", "Archive", "Fetchable", "PublishedFile", "fetchable_named"]
