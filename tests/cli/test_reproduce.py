"""`auricle reproduce`: its help, its plan on an empty directory, and wrong arguments."""

import pytest
from chain_miniature import write_chain
from typer.testing import CliRunner

from auricle.cli.main import app


def run(*arguments, code):
    done = CliRunner().invoke(
        app, ["reproduce", *map(str, arguments)], env={"COLUMNS": "4000", "NO_COLOR": "1"}
    )
    assert done.exit_code == code, done.output
    return done


def test_the_plan_on_an_empty_directory_is_a_shopping_list(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    done = run("dcase2025", data, out, "--plan", code=1)
    for line in (
        f"$ auricle data fetch clotho {data}/clotho --accept-license",
        f"$ auricle convert beats BEATs_iter3_plus_AS2M.pt {data}/weights/beats",
        f"$ auricle augment mix {data}/clotho {data}/augmented/mixes --count 50000 --backend openai --model gpt-4o",
        "For academic use only. Audio of FreeSound, BBC Sound Effects",
        "11.1 GB unpacked",
        "Steps: 57",
        "train sid4_passt: to do",
        "writes: banks/sid1_eat",
        "Done: 0 of 57 steps.",
        "train sid1_passt: to do (about 11 h)",
        "an estimate under 100 TFLOP/s sustained",
    ):
        assert line in done.stdout
    assert done.stdout.index("Missing:") < done.stdout.index("Steps:")
    assert not data.exists() and not out.exists()


def test_the_plan_is_narrowed_and_succeeds_if_nothing_is_missing(tmp_path):
    chain = write_chain(tmp_path / "recipes")
    clotho = tmp_path / "data" / "clotho"
    clotho.mkdir(parents=True)
    (clotho / "clotho_captions_development.csv").touch()
    done = run(chain, tmp_path / "data", tmp_path / "out", "--plan", "--only", "sid1_passt,sid1_eat", code=0)
    assert "Nothing is missing." in done.stdout and "Steps: 7" in done.stdout
    assert "miniature of Clotho" in done.stdout
    done = run(chain, tmp_path / "data", tmp_path / "out", "--plan", "--only", "sid2_passt", code=1)
    assert f"$ auricle augment mix {clotho} {tmp_path}/data/augmented/mixes --count 3" in done.stdout


def test_the_disk_of_a_narrowed_plan_is_that_of_its_runs(tmp_path):
    done = run("dcase2025", tmp_path / "data", tmp_path / "out", "--plan", "--only", "sid3_passt", code=1)
    assert "Disk: estimate, 52 GB for 4 runs; a run takes 13 GB" in done.stdout


def test_a_run_stops_before_its_first_step_if_something_is_missing(tmp_path):
    done = run("dcase2025", tmp_path / "data", tmp_path / "out", "--towers", "passt", "--no-progress", code=2)
    assert "things are missing: Clotho v2.1" in done.stderr and "--plan lists them" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dcase2024", "d", "o"], "'dcase2024': expected dcase2025, or the YAML file"),
        (["gone.yaml", "d", "o"], "recipe gone.yaml: cannot be read"),
        (["dcase2025", "d", "o", "--towers", "passt,clap"], "--towers 'clap': unknown tower"),
        (["dcase2025", "d", "o", "--only", "sid3"], "--only 'sid3': no such run, ensemble or step"),
        (["dcase2025", "d", "o", "--only", "E5", "--plan"], "the ensembles E1, E2, E3, E4"),
        (["dcase2025", __file__, "o", "--plan"], "test_reproduce.py: is a file, but must be a directory"),
        (["dcase2025", "d", __file__, "--plan"], "test_reproduce.py: is a file, but must be a directory"),
    ],
)
def test_wrong_arguments_end_in_one_line(arguments, told):
    done = run(*arguments, code=2)
    assert told in done.stderr and "Traceback" not in done.output


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "the chain runs in one process" in run("dcase2025", "d", "o", "--plan", code=2).stderr


def test_the_help_names_the_exit_code_and_what_a_second_call_does():
    done = CliRunner().invoke(
        app, ["reproduce", "--help"], env={"COLUMNS": "4000", "NO_COLOR": "1", "TERM": "dumb"}
    )
    text = " ".join(done.output.split())
    assert "Exit code 1 if something is missing, else 0" in text
    assert "resumes an unfinished training from its last checkpoint" in text
