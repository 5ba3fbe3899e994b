"""Derives the licence of a model from those of its encoders and of its training data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Licences of published weights that training starts from, by a part of their names.
ENCODER_LICENSES = {
    "passt": "apache-2.0",
    "eat": "mit",
    "beats": "mit",
    "roberta": "mit",
    "minilm": "apache-2.0",
    "e5": "mit",
    "bert": "apache-2.0",
}
# From the least to the most restrictive; the first pattern that matches a licence's name gives its kind.
_KINDS = (
    ("noncommercial", r"\bnc\b|non ?commercial|sampling"),
    ("sharealike", r"\bsa\b|share ?alike|gpl"),
    ("attribution", r"\bby\b|attribution|\bmit\b|apache|bsd"),
    ("free", r"\bcc ?0\b|zero|public ?domain|\bpd\b|generated"),
)
_RANK = {"free": 0, "attribution": 1, "sharealike": 2, "noncommercial": 3, "unknown": 4}
_PUBLISHED = {
    "free": "apache-2.0",
    "attribution": "cc-by-4.0",
    "sharealike": "cc-by-sa-4.0",
    "noncommercial": "cc-by-nc-4.0",
    "unknown": "other",
}


@dataclass
class LicenseFinding:
    """
    Attributes:
        license: the Hub's name of the licence that fits; ``other`` if unknown.
        warnings: what a person should look at before publishing.
    """

    license: str
    warnings: list[str] = field(default_factory=list)


def license_kind(name: str) -> str:
    """``free``, ``attribution``, ``sharealike``, ``noncommercial`` or ``unknown``: what a licence asks for."""
    words = re.sub(r"[-_/.\s]+", " ", name.lower())
    for kind, pattern in _KINDS:
        if re.search(pattern, words):
            return kind
    return "unknown"


def derive_license(data: Mapping[str, int], encoders: Mapping[str, str]) -> LicenseFinding:
    """
    The licence for a model card: the strictest of all sources.

    This is arithmetic with names, no legal advice: whether weights inherit their data's licences is disputed, and
    this takes the careful side.

    Args:
        data: training clips by licence, as their table names them.
        encoders: by tower the name or origin of its first weights; unknown ones and fresh weights ask nothing.

    Returns:
        The licence, and warnings for data without a known licence, for data that forbid what the encoders allow,
        and for share-alike together with non-commercial data, which no licence satisfies.
    """
    by_kind: dict[str, int] = {}
    for name, clips in data.items():
        kind = license_kind(name)
        by_kind[kind] = by_kind.get(kind, 0) + clips
    strictest = max(by_kind, key=_RANK.__getitem__, default="free")
    warnings = []
    known = {tower: found for tower, origin in encoders.items() if (found := _encoder_license(origin))}
    if by_kind.get("unknown"):
        warnings.append(
            f"{by_kind['unknown']:,} training clips have an unknown license; the card says 'other'. Check them and "
            "set the license of the model with --license."
        )
    if by_kind.get("noncommercial"):
        permissive = ", ".join(f"{tower} {name}" for tower, name in sorted(known.items())) or "the encoders"
        warnings.append(
            f"{by_kind['noncommercial']:,} training clips forbid commercial use, but {permissive} allows it."
        )
    if by_kind.get("noncommercial") and by_kind.get("sharealike"):
        warnings.append(
            f"{by_kind['sharealike']:,} training clips are share-alike and {by_kind['noncommercial']:,} "
            "non-commercial; no single license satisfies both."
        )
        strictest = "unknown"
    if strictest == "free" and known:
        return LicenseFinding("apache-2.0" if "apache-2.0" in known.values() else "mit", warnings)
    return LicenseFinding(_PUBLISHED[strictest], warnings)


def _encoder_license(origin: str) -> str | None:
    words = re.findall(r"[a-z0-9]+", origin.lower())
    for name, license in ENCODER_LICENSES.items():
        if any(word.startswith(name) for word in words):
            return license
    return None


__all__ = ["LicenseFinding", "derive_license", "license_kind"]
