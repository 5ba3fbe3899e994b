"""The JSON API over loopback: the answers of the index, every refusal in one line, and who may ask what."""

import json
import re
import socket
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from engines import ask, rows, start
from sound_libraries import library
from tiny_models import saved_tiny_model, write_sound

from auricle.search.engine.api_models import FoundSounds, Status
from auricle.search.sound_index import SoundIndex


@pytest.mark.parametrize(
    "fields",
    [
        {"top": 3},
        {"negative": ["a dog", "wind"], "names": True},
        {"rank": "clip", "min_score": -0.5},
        {"glob": "*/rain/*"},
        {"glob": "rain/*", "exact": True},
        {"tag": "dogs"},
        {"min_duration": 1.0, "max_duration": 2.0},
        {"license": "CC0", "metadata": {"place": "wood"}},
        {"query": "rain -thunder"},
    ],
)
def test_a_sentence_is_answered_as_the_index_answers(running, fields):
    body = {"query": "a dog barks", **fields}
    status, answer = ask(running.url, "api/v1/search", body)
    query = body.pop("query")
    hits = running.index.search(query, **body)
    assert status == 200 and answer == {"results": rows(hits), "why_empty": [], "notes": []} and hits
    FoundSounds.model_validate(answer, extra="forbid")


def test_one_file_is_searched_as_the_index_does(running):
    path = str(running.sounds / "dogs" / "bark é🐕.wav")
    status, answer = ask(running.url, "api/v1/search", {"query": "rain", "file": path})
    assert status == 200 and answer["results"] == rows(running.index.search("rain", file=path))
    assert {row["path"] for row in answer["results"]} == {path}


def test_an_address_asks_the_same(running):
    asked = "api/v1/search?query=a%20dog%20barks&top=2&negative=wind&metadata=place=wood&min_duration=0.1"
    status, answer = ask(running.url, asked)
    hits = running.index.search(
        "a dog barks", top=2, negative=["wind"], metadata={"place": "wood"}, min_duration=0.1
    )
    assert status == 200 and answer["results"] == rows(hits) and hits
    assert ask(running.url, "api/v1/search?query=a&metadata=wood") == (
        400,
        {"error": "metadata 'wood': must be NAME=VALUE."},
    )


def test_nothing_fits_says_why(running):
    asked = {"query": "rain", "tag": "Rain"}
    told = ask(running.url, "api/v1/search", asked)[1]
    assert told == {
        "results": [],
        "why_empty": running.index.why_empty(names={"tag": "tag"}, tag="Rain"),
        "notes": [],
    }
    assert "tag Rain matches no file of the index; similar values: 'rain'" in told["why_empty"][0]
    told = ask(running.url, "api/v1/search", {**asked, "labels": "options"})[1]
    assert told["why_empty"][0].startswith("--tag Rain matches")
    told = ask(running.url, "api/v1/search", {"query": "rain", "min_score": 5})[1]
    best = running.index.search("rain", top=1)[0].score
    assert told["why_empty"] == [f"min_score 5: the best result scores {best:.3f}."]


def test_recordings_and_moments_are_answered_as_the_index_answers(running):
    path = str(running.sounds / "e.wav")
    for fields in ({}, {"start": 0.5, "end": 1.5}, {"rank": "window", "top": 2}, {"tag": "rain"}):
        status, answer = ask(running.url, "api/v1/similar", {"path": path, **fields})
        assert status == 200 and answer["results"] == rows(running.index.similar(path, **fields)), fields
    assert ask(running.url, "api/v1/moments", {"path": path, "query": "rain"})[1]["results"] == rows(
        running.index.moments(path, "rain")
    )
    every = {"min_percentile": 0}
    for fields in (every, {"top": 1, "hop_seconds": 0.25, **every}, {"threshold": 0.5, "edges": "windows"}):
        status, answer = ask(running.url, "api/v1/moments", {"path": path, "query": "rain", **fields})
        assert status == 200 and answer["results"] == rows(running.index.moments(path, "rain", **fields))
        assert answer["results"]


def test_the_status_is_that_of_the_index(running):
    status, answer = ask(running.url, "api/v1/status")
    record = running.index.store.record
    assert status == 200 and Status.model_validate(answer).files == 8
    assert answer["fingerprint"] == record["fingerprint"] and answer["precision"] == "float32"
    assert answer["index"] == str(running.root / "index") and answer["missing_model"] == ""


def test_a_body_without_the_header_of_json_is_refused_with_the_remedy(running):
    status, answer = ask(
        running.url, "api/v1/search", b'{"query": "rain"}', Content_Type="application/x-www-form-urlencoded"
    )
    assert status == 422 and answer["error"].startswith(
        "the body is not read as JSON; send the header Content-Type"
    )


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("search", {"query": " "}, 400, "The query is empty; it has no word to search for."),
        ("search", {}, 422, "query: is missing."),
        ("search", {"query": "a", "tags": "b"}, 422, "tags: not a field of this request; see /api/v1."),
        ("search", {"query": "a", "top": 2.5}, 422, "top=2.5: input should be a valid integer"),
        ("search", {"query": "a", "top": 0}, 422, "top=0: input should be greater than or equal to 1."),
        ("search", {"query": "a", "top": 10**9}, 422, "top=1000000000: input should be less than"),
        ("search", {"query": "a", "min_duration": "x"}, 422, 'min_duration="x": input should be a valid number'),
        ("search", {"query": "a", "rank": "best"}, 422, "rank=\"best\": input should be 'window' or 'clip'."),
        ("search", {"query": "a" * 10_001}, 422, "query=\"aaa"),
        ("search", ["a"], 422, "the request=[\"a\"]"),
        ("search", b'{"query', 422, "the request is not valid JSON"),
        ("search", b'{"query": "\xff"}', 400, ""),
        ("similar", {"path": "e.wav"}, 400, "path 'e.wav': must be absolute."),
        ("similar", {"path": "/x", "start": -1}, 422, "start=-1"),
        ("moments", {"path": "/x", "query": "a", "edges": "hard"}, 422, "edges=\"hard\""),
        ("moments", {"path": "/x", "query": "a", "hop_seconds": 1e-9}, 422, "hop_seconds=1e-09: input should be"),
        ("nothing", {}, 404, "/api/v1/nothing: there is no such address; see /api/v1."),
        ("status", {}, 405, "/api/v1/status: takes no POST; see /api/v1."),
        ("search", {"query": "a", "tag": "b" * 1_000_001}, 413, "the request is longer than 1,000,000 bytes."),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told_in_one_line(running, path, body, status, told):
    got, answer = ask(running.url, f"api/v1/{path}", body)
    assert got == status, answer
    assert list(answer) == ["error"] and answer["error"].startswith(told), answer
    assert "\n" not in answer["error"]


def test_a_body_without_a_length_is_limited_too(running):
    place = urlsplit(running.url)
    head = b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b'{"query": "' + b"x" * 300_000
        for _ in range(4):
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


def test_files_outside_the_index_are_for_who_has_the_token(running):
    secret = str(running.root / "private" / "secret.wav")
    for path, more in (("similar", {}), ("moments", {"query": "rain", "min_percentile": 0})):
        refused = [
            ask(running.url, f"api/v1/{path}", {"path": name, **more})
            for name in (secret, f"{secret}.not-there", "/etc/passwd", str(running.root))
        ]
        # Nobody learns whether a file exists.
        assert [status for status, _ in refused] == [403] * 4
        assert {answer["error"].split(": ", 1)[1] for _, answer in refused} == {
            refused[0][1]["error"].split(": ", 1)[1]
        }
        own = {"Authorization": f"Bearer {running.token}"}
        status, answer = ask(running.url, f"api/v1/{path}", {"path": secret, **more}, **own)
        assert status == 200 and answer["results"]
    assert rows(running.index.similar(secret)) == ask(
        running.url, "api/v1/similar", {"path": secret}, **own
    )[1]["results"]  # fmt: skip
    status, answer = ask(running.url, "api/v1/similar", {"path": "/etc/passwd"}, **own)
    assert status == 400 and "/etc/passwd" in answer["error"]


@pytest.mark.parametrize("sent", ["Bearer wrong", "Bearer ", "Basic abc", "wrong", "Bearer é"])
def test_a_wrong_token_is_refused(running, sent):
    for path, body in (("search", {"query": "rain"}), ("status", None)):
        status, answer = ask(running.url, f"api/v1/{path}", body, Authorization=sent)
        assert status == 401 and answer == {"error": "the token is wrong; it is in the engine's port file."}


def test_other_web_sites_ask_and_read_nothing(running):
    port = urlsplit(running.url).port
    own = {"Authorization": f"Bearer {running.token}"}
    sites = (
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": f"http://127.0.0.1:{port + 1}", "Sec_Fetch_Site": "same-site"},
        {"Origin": f"http://localhost:{port}"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    )
    refused = (403, {"error": "Requests of other web sites are refused."})
    for headers in sites:
        assert ask(running.url, "api/v1/search", {"query": "rain"}, **headers) == refused
        assert ask(running.url, "api/v1/search", {"query": "rain"}, **headers, **own) == refused
        for path in ("api/v1/search?query=rain", "api/v1/status", "api/v1", "api/v1/openapi.json", "mcp"):
            assert ask(running.url, path, **headers) == refused, (path, headers)
    # A site whose name points to this machine.
    assert ask(running.url, "api/v1/status", Host="evil.example") == (400, {"error": "Invalid host header"})
    status, answer = ask(running.url, "api/v1/status", Origin=running.url.rstrip("/"))
    assert status == 200 and answer["api"] == "v1"


def test_no_answer_lets_other_sites_read_it(running):
    from pages import fetched

    origin = {"Origin": running.url.rstrip("/")}
    for path in ("api/v1/status", "api/v1", "api/v1/openapi.json"):
        headers = fetched(f"{running.url}{path}", **origin)[1]
        assert not [name for name in headers if name.startswith("access-control")]


def test_the_description_loads_nothing_and_names_every_field(running):
    status, page = ask(running.url, "api/v1")
    schema = ask(running.url, "api/v1/openapi.json")[1]
    assert status == 200 and "src=" not in page and "<script" not in page and "http://" not in page
    assert "https://" not in page
    assert set(schema["paths"]) == {f"/v1/{name}" for name in ("search", "similar", "moments", "status")}
    for model in ("SearchRequest", "SimilarRequest", "MomentsRequest", "FoundSound", "Status"):
        for name in schema["components"]["schemas"][model]["properties"]:
            assert f"<code>{name}</code>" in page, (model, name)
    assert ask(running.url, "")[1] == page


def test_an_index_that_changes_or_is_made_anew_is_seen(model, tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_RUNTIME_DIR", str(tmp_path / "run"))
    sounds, folder = library(tmp_path / "sounds", 3), tmp_path / "index"
    SoundIndex.create(folder, model).update([sounds], progress=False)
    served = start(folder)

    def found(**headers) -> int:
        status, answer = ask(served.url, "api/v1/search", {"query": "rain"}, **headers)
        assert status == 200, answer
        return len(answer["results"])

    try:
        first = ask(served.url, "api/v1/status")[1]
        assert found(If_Match=f'"{first["identity"]}"') == 3
        for number in range(4, 7):
            # As if reading had taken long, after which an index that is being written is not read anew for a while.
            served.engine.resident.current()._contents.get().seconds = 1000.0
            write_sound(sounds / f"more{number}.wav", 0.5, seed=number)
            SoundIndex(folder).update([sounds], progress=False)
            assert found() == number - 1
            # A program that names the index always gets the newest answer.
            assert found(If_Match=f'"{first["identity"]}"') == number
        saved_tiny_model(tmp_path / "other", seed=3)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        status, answer = ask(served.url, "api/v1/search", {"query": "rain"})
        assert status == 503 and "not an index" in answer["error"]
        SoundIndex.create(folder, str(tmp_path / "other")).update([sounds], progress=False)
        assert ask(served.url, "api/v1/search", {"query": "rain"}, If_Match=first["identity"])[0] == 412
        second = ask(served.url, "api/v1/status")[1]
        assert second["fingerprint"] != first["fingerprint"] and second["identity"] != first["identity"]
        assert ask(served.url, "api/v1/search", {"query": "rain"})[1]["results"] == rows(
            SoundIndex(folder).search("rain")
        )
    finally:
        served.close()


def test_a_model_that_is_gone_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_RUNTIME_DIR", str(tmp_path / "run"))
    saved_tiny_model(tmp_path / "model")
    folder = tmp_path / "index"
    SoundIndex.create(folder, str(tmp_path / "model")).update([library(tmp_path / "s", 1)], progress=False)
    Path(tmp_path / "model").rename(tmp_path / "moved")
    served = start(folder)
    try:
        status, answer = ask(served.url, "api/v1/search", {"query": "rain"})
        assert status == 503 and "is no longer" in answer["error"] and "--model" in answer["error"]
        assert "--model" in ask(served.url, "api/v1/status")[1]["missing_model"]
    finally:
        served.close()


def test_names_with_signs_are_asked_by_address(running):
    path = str(running.sounds / 'dogs/"quoted".wav')
    status, answer = ask(running.url, f"api/v1/search?query=rain&file={quote(path)}")
    assert status == 200 and {row["path"] for row in answer["results"]} == {path}


def test_the_examples_of_the_documentation_run(running, monkeypatch, capsys):
    text = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    link, sound = running.root / "sounds.auricle", running.root / "private" / "secret.wav"
    link.symlink_to(running.root / "index")
    monkeypatch.setenv("AURICLE_RUNTIME_DIR", str(running.root / "run"))
    monkeypatch.chdir(running.root)
    exec(compile(example.replace("/tmp/bark.wav", str(sound)), "api.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    assert told == [f"{hit.path} {hit.start} {hit.end}" for hit in running.index.similar(sound, top=3)]
    for asked in re.findall(r"http://127\.0\.0\.1:7860/(api/v1/search\?\S+)'", text):
        assert len(ask(running.url, asked)[1]["results"]) == 3
    (body,) = re.findall(r"-d '(.*?)'", text)
    assert ask(running.url, "api/v1/search", json.loads(body))[0] == 200
    for name in re.findall(r"^\| `(\w+)` \|", text, re.M):
        assert name in {"search_sounds", "similar_sounds", "find_moments", "library_status"}
