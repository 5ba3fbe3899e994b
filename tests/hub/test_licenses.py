"""Which licence follows from those of data and encoders, and what a person is warned of."""

import pytest

from auricle.hub.licenses import derive_license, license_kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CC0-1.0", "free"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "free"),
        ("CC-BY-4.0", "attribution"),
        ("http://creativecommons.org/licenses/by/3.0/", "attribution"),
        ("Creative Commons Attribution-NonCommercial 4.0", "noncommercial"),
        ("http://creativecommons.org/licenses/by-nc/3.0/", "noncommercial"),
        ("CC BY-NC-SA 4.0", "noncommercial"),
        ("Sampling+", "noncommercial"),
        ("CC-BY-SA-3.0", "sharealike"),
        ("Attribution-ShareAlike", "sharealike"),
        ("MIT", "attribution"),
        ("unknown", "unknown"),
        ("ask the author", "unknown"),
    ],
)
def test_names_of_licences(name, kind):
    assert license_kind(name) == kind


@pytest.mark.parametrize(
    ("data", "encoders", "license"),
    [
        ({"CC0-1.0": 3}, {}, "apache-2.0"),
        ({"CC0-1.0": 3}, {"audio": "beats.pt"}, "mit"),
        ({"CC0-1.0": 3}, {"audio": "passt_s.pt", "text": "roberta-large"}, "apache-2.0"),
        ({"CC0-1.0": 3, "CC-BY-4.0": 1}, {}, "cc-by-4.0"),
        ({"CC-BY-SA-4.0": 1, "CC-BY-4.0": 9}, {}, "cc-by-sa-4.0"),
        ({"CC-BY-NC-4.0": 1, "CC0-1.0": 99}, {"text": "roberta-base"}, "cc-by-nc-4.0"),
        ({"unknown": 1, "CC0-1.0": 99}, {}, "other"),
        ({"CC-BY-NC-4.0": 1, "CC-BY-SA-4.0": 1}, {}, "other"),
    ],
)
def test_the_strictest_counts(data, encoders, license):
    assert derive_license(data, encoders).license == license


def test_conflicts_are_told():
    found = derive_license({"CC BY-NC 4.0": 2, "CC BY-SA 4.0": 3, "unknown": 4}, {"audio": "EAT-base"})
    unknown, noncommercial, both = found.warnings
    assert "4 training clips have an unknown license" in unknown
    assert "2 training clips forbid commercial use, but audio mit allows it" in noncommercial
    assert "3 training clips are share-alike and 2 non-commercial" in both
    assert derive_license({"CC0-1.0": 3}, {"audio": "passt"}).warnings == []
