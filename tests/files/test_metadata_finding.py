"""`metadata.csv` and `metadata.jsonl` in any case of their letters: read, or reported."""

import os

from auricle.files.metadata_finding import find_metadata_files


def found_in(folder, *names):
    for name in names:
        (folder / name).write_text("file_name\n")
    found = find_metadata_files(folder)
    assert all(os.path.dirname(path) == str(folder) for path, _ in found.remarks)
    return found


def test_exact_names_come_first_and_in_order(tmp_path):
    found = found_in(tmp_path, "metadata.jsonl", "metadata.csv", "other.csv")
    assert found.paths == [str(tmp_path / "metadata.csv"), str(tmp_path / "metadata.jsonl")]
    assert not found.remarks and not found.ignored and not found.unclear


def test_another_case_is_read_with_a_remark(tmp_path):
    found = found_in(tmp_path, "Metadata.CSV")
    assert found.paths == [str(tmp_path / "Metadata.CSV")]
    assert found.remarks == [
        (str(tmp_path / "Metadata.CSV"), "read as metadata.csv, which differs in upper and lower case")
    ]


def test_beside_the_exact_name_another_one_is_reported(tmp_path):
    found = found_in(tmp_path, "metadata.csv", "METADATA.csv")
    assert found.paths == [str(tmp_path / "metadata.csv")] and not found.remarks
    assert found.ignored == [
        (str(tmp_path / "METADATA.csv"), "not read, because metadata.csv in the same folder has priority")
    ]


def test_of_two_of_which_none_is_exact_none_is_read(tmp_path):
    found = found_in(tmp_path, "Metadata.csv", "metadata.CSV", "metadata.jsonl")
    assert found.paths == [str(tmp_path / "metadata.jsonl")]
    assert [os.path.basename(path) for path, _ in found.unclear] == ["Metadata.csv", "metadata.CSV"]
    assert "keep one, as metadata.csv" in found.unclear[0][1]


def test_folders_of_that_name_and_no_folder_at_all(tmp_path):
    (tmp_path / "Metadata.csv").mkdir()
    assert found_in(tmp_path).paths == [] and find_metadata_files(tmp_path / "nowhere").paths == []
