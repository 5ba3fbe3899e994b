"""The table "Who can do what" of docs/search.md: each of its rows names tests that are there."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parents[2] / "docs" / "search.md"
# By the first words of a row's cells the tests that try it.
TRIED = {
    ("a browser on this machine", "ask, listen"): [
        "test_ask_listen_more_like_this_and_upload",
        "test_answers_alone_are_served",
        "test_files_of_answers_alone_are_sent",
        "test_marks_refine_the_answers_and_a_search_is_saved",
    ],
    ("a browser on this machine", "show an answer"): [
        "test_the_folder_is_shown_by_who_sits_here_alone",
        "test_no_shell_and_no_option_in_the_commands_of_file_managers",
    ],
    ("a browser on this machine", "index a folder"): [
        "test_a_first_run_explains_itself_and_indexes_a_folder",
        "test_a_folder_is_indexed_and_the_progress_told",
        "test_what_is_no_folder_is_refused_in_one_line",
    ],
    ("a program on this machine", "the same"): ["test_the_page_itself_links_to_it_and_programs_are_answered"],
    ("another web site", "lead to the page"): [
        "test_other_sites_write_and_read_nothing",
        "test_another_site_writes_and_reads_nothing",
    ],
    ("a web site whose name", "nothing"): ["test_a_page_of_this_machine_answers_to_no_other_name"],
    ("other machines", "nothing; with"): [
        "test_it_listens_on_this_machine_alone",
        "test_an_open_address_has_names_of_its_own",
        "test_an_empty_index_says_how_to_add_and_others_may_not",
        "test_the_folder_is_shown_by_who_sits_here_alone",
    ],
}


def rows() -> list[list[str]]:
    part = PAGE.read_text(encoding="utf-8").partition("### Who can do what")[2].partition("\n#")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_row_is_tried_by_tests_that_are_there():
    there = {
        node.name
        for path in TESTS.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    found = rows()
    assert len(found) == len(TRIED)
    for (who, may), names in TRIED.items():
        assert [row for row in found if row[0].startswith(who) and row[1].startswith(may)], (who, may)
        assert names and set(names) <= there, set(names) - there
