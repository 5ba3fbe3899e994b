"""One file over real HTTP on loopback: cut connections, servers without ranges, wrong checksums, missing files."""

import hashlib
import json
import random

import pytest
from file_server import Behaviour, file_server

from auricle.data.fetching import FetchError, download
from auricle.data.fetching.download import http_client, remote_size

CONTENT = random.Random(0).randbytes(300_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def server():
    with file_server() as running:
        running.files["/clips.7z"] = CONTENT
        yield running


@pytest.fixture
def get(server, tmp_path):
    """Downloads the server's file; returns whether anything was fetched."""

    def fetch(path="/clips.7z", *, checksum=MD5, attempts=3):
        with http_client() as client:
            return download(
                server.url + path,
                tmp_path / "clips.7z",
                client=client,
                checksum=checksum,
                attempts=attempts,
                wait=0.0,
                progress=False,
            )

    return fetch


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(get, server, tmp_path):
    assert get() is True
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT and names(tmp_path) == ["clips.7z"]
    assert get() is False
    assert server.ranges_asked() == [None]


def test_a_cut_connection_goes_on_where_it_was_cut(get, server, tmp_path):
    server.behaviour = Behaviour(cut_after=[100_000, 50_000, None])
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_where_the_first_one_gave_up(get, server, tmp_path):
    server.behaviour = Behaviour(cut_after=[120_000], status=[0, 503, 503, 503])
    with pytest.raises(FetchError, match=r"given up after 3 attempts \(HTTP 503\); 120,000 bytes are kept"):
        get()
    assert names(tmp_path) == ["clips.7z.partial", "clips.7z.partial.json"]
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT and names(tmp_path) == ["clips.7z"]
    assert server.ranges_asked()[-1] == "bytes=120000-"


def test_a_file_that_changed_meanwhile_begins_anew(get, server, tmp_path):
    server.behaviour = Behaviour(cut_after=[120_000], status=[0, 500, 500, 500])
    with pytest.raises(FetchError):
        get()
    other = CONTENT[::-1]
    server.files["/clips.7z"] = other
    get(checksum=f"sha256:{hashlib.sha256(other).hexdigest()}")
    assert (tmp_path / "clips.7z").read_bytes() == other


def test_what_came_from_another_address_is_not_gone_on_with(get, server, tmp_path):
    server.behaviour = Behaviour(cut_after=[120_000], status=[0, 500, 500, 500])
    with pytest.raises(FetchError):
        get()
    server.files["/other.7z"] = b"other"
    get("/other.7z", checksum=None)
    assert (tmp_path / "clips.7z").read_bytes() == b"other"
    assert server.ranges_asked()[-1] is None


def test_without_tags_a_part_is_gone_on_with_if_the_length_is_the_same(get, server, tmp_path):
    server.behaviour = Behaviour(tags=False, cut_after=[100_000])
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT
    server.behaviour = Behaviour(tags=False, cut_after=[100_000], status=[0, 500, 500, 500])
    (tmp_path / "clips.7z").unlink()
    with pytest.raises(FetchError):
        get()
    server.files["/clips.7z"] = CONTENT + b"more"
    get(checksum=None)
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT + b"more"


def test_a_server_without_ranges_sends_all_of_it_again(get, server, tmp_path):
    server.behaviour = Behaviour(ranges=False, cut_after=[100_000, 200_000])
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT
    assert len(server.ranges_asked()) == 3


def test_a_server_without_ranges_that_always_cuts_is_given_up(get, server):
    server.behaviour = Behaviour(ranges=False, cut_after=[100_000] * 50)
    with pytest.raises(FetchError, match="given up after 3 attempts"):
        get()
    # The first one brought something new, three did not.
    assert len(server.ranges_asked()) == 4


def test_a_server_that_tells_no_length(get, server, tmp_path):
    server.behaviour = Behaviour(lengths=False)
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(get, server, tmp_path):
    (tmp_path / "clips.7z.partial").write_bytes(CONTENT)
    note = {"url": f"{server.url}/clips.7z", "validator": None, "total": len(CONTENT)}
    (tmp_path / "clips.7z.partial.json").write_text(json.dumps(note))
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_that_is_too_long_begins_anew(get, server, tmp_path, ranges):
    server.behaviour = Behaviour(ranges=ranges)
    (tmp_path / "clips.7z.partial").write_bytes(CONTENT + b"more")
    note = {"url": f"{server.url}/clips.7z", "validator": None, "total": len(CONTENT)}
    (tmp_path / "clips.7z.partial.json").write_text(json.dumps(note))
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT


def test_a_wrong_checksum_is_named_and_what_came_is_deleted(get, server, tmp_path):
    server.files["/clips.7z"] = CONTENT[:-1] + b"x"
    with pytest.raises(
        FetchError, match=rf"md5 is \w+, the publisher's is {MD5[4:]}; the download was deleted"
    ):
        get()
    assert names(tmp_path) == []


def test_a_file_of_the_users_is_never_replaced(get, server, tmp_path):
    (tmp_path / "clips.7z").write_text("mine")
    with pytest.raises(FetchError, match="differs from the publisher's"):
        get()
    assert (tmp_path / "clips.7z").read_text() == "mine" and server.requests == []


def test_a_missing_file_is_told_at_once(get, server, tmp_path):
    with pytest.raises(FetchError, match=r"nowhere\.7z: HTTP 404; the publisher has no such file"):
        get("/nowhere.7z")
    assert len(server.requests) == 1
    with http_client() as client:
        with pytest.raises(FetchError, match="HTTP 404"):
            remote_size(client, f"{server.url}/nowhere.7z")
        assert remote_size(client, f"{server.url}/clips.7z") == len(CONTENT)
        server.behaviour = Behaviour(heads=False)
        assert remote_size(client, f"{server.url}/clips.7z") is None


def test_a_busy_server_is_asked_again_when_it_says(get, server, tmp_path):
    server.behaviour = Behaviour(status=[429, 503], retry_after=0)
    get()
    assert (tmp_path / "clips.7z").read_bytes() == CONTENT and len(server.requests) == 3


def test_a_server_that_cannot_be_reached(get, server, tmp_path):
    with file_server() as gone:
        url = f"{gone.url}/clips.7z"
    with http_client() as client:
        with pytest.raises(FetchError, match="cannot be reached"):
            remote_size(client, url)
        with pytest.raises(FetchError, match="given up after 2 attempts"):
            download(url, tmp_path / "a", client=client, attempts=2, wait=0.0, progress=False)
