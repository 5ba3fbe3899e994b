"""Files made to do harm: none opens another file or address, and none takes the process down or with it."""

import http.server
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import av
import pytest
from sound_files import encoded, save, tones, wav

from auricle.processing import AudioReadError, read_channels
from auricle.processing.container_decoding import ContainerDecoder
from auricle.processing.container_opening import DEMUXERS
from auricle.processing.sound_source import SoundSource

RATE = 22_050
SOUND = tones(1, RATE)
WORKER = Path(__file__).with_name("sound_fuzz.py")
# Demuxers that read other files, addresses or devices, or what a text tells them to.
OPENING_OTHERS = {
    *(
        "hls",
        "applehttp",
        "concat",
        "dash",
        "image2",
        "image2pipe",
        "rtsp",
        "rtp",
        "sdp",
        "sap",
        "lavfi",
        "tedcaptions",
    ),
    *(
        "webm_dash_manifest",
        "ffmetadata",
        "imf",
        "vapoursynth",
        "avisynth",
        "smoothstreaming",
        "mpsub",
        "vobsub",
    ),
}


class Requests(http.server.BaseHTTPRequestHandler):
    """Answers everything with a sound, and remembers what was asked for."""

    asked: ClassVar[list[str]]

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(wav(SOUND, RATE))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    class Own(Requests):
        asked: ClassVar[list[str]] = []

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", Own.asked
    running.shutdown()


def hostile_texts(target: str) -> dict[str, str]:
    """What FFmpeg's own probing would follow to ``target``."""
    return {
        "hls": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n",
        "hls with key": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
        f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1,\n{target}\n',
        "concat": f"ffconcat version 1.0\nfile '{target}'\nduration 1\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        f'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><BaseURL>{target}</BaseURL><Period>'
        '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1"/></AdaptationSet></Period></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"a=control:{target}\nm=audio 5004 RTP/AVP 0\n",
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
        "real text": f"<ram>\n{target}\n</ram>",
    }


@pytest.mark.parametrize("name", sorted(hostile_texts("")))
@pytest.mark.parametrize("where", ["path", "name", "url of a file", "http"])
def test_no_list_is_followed(tmp_path, server, monkeypatch, name, where):
    address, asked = server
    secret = save(tmp_path / "secret.wav", wav(SOUND, RATE))
    targets = {"path": str(secret), "name": secret.name, "url of a file": f"file:{secret}"}
    target = targets.get(where, f"{address}/secret.wav")
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("builtins.open", watched(open, opened))
    os.utime(secret, (1, 2))
    for ending in ("mp3", "m4a", "wav", "m3u8", "mkv"):
        path = save(tmp_path / f"sound.{ending}", hostile_texts(target)[name].encode())
        opened.clear()
        with pytest.raises(AudioReadError, match="not an audio file"):
            read_channels(path)
        assert asked == [] and {str(one) for one in opened} == {str(path)}
    # Where the file system notes reading, it would show what a library opened by itself.
    assert os.stat(secret).st_atime == 1


def test_without_these_locks_ffmpeg_follows_a_list(tmp_path, monkeypatch):
    """What the test above is for."""
    save(tmp_path / "secret.wav", wav(SOUND, RATE))
    path = save(tmp_path / "sound.mp3", hostile_texts("secret.wav")["concat"].encode())
    monkeypatch.chdir(tmp_path)
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == len(SOUND)


def watched(original, opened: list):
    def opening(file, *arguments, **options):
        opened.append(file)
        return original(file, *arguments, **options)

    return opening


@pytest.mark.parametrize(
    "scheme", ["http://127.0.0.1:9/a.mp3", "concat:a.wav|b.wav", "file:a.wav", "pipe:0", "crypto:a"]
)
def test_a_name_is_a_name_and_no_address(tmp_path, monkeypatch, scheme):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.wav", wav(SOUND, RATE))
    with pytest.raises(AudioReadError, match="no such file"):
        read_channels(scheme)
    strange = save(tmp_path / "concat:a.mka", encoded(SOUND, RATE, container="matroska", codec="flac"))
    assert len(read_channels(strange.name)[0]) == len(SOUND)


def test_the_demuxers_that_may_be_used_open_nothing_else():
    assert not OPENING_OTHERS & {part for names in DEMUXERS.values() for part in names.split(",")}


@pytest.mark.parametrize("demuxer", sorted(DEMUXERS))
def test_a_playlist_is_refused_even_where_it_reaches_ffmpeg(tmp_path, server, demuxer):
    """What decides on the kind of a file could be wrong: the second lock is the demuxer's own."""
    address, asked = server
    save(tmp_path / "secret.wav", wav(SOUND, RATE))
    path = save(tmp_path / "a.mp3", hostile_texts(f"{address}/secret.wav")["hls"].encode())
    with SoundSource(path) as source, pytest.raises(AudioReadError):
        ContainerDecoder(source, demuxer)
    assert asked == []


def test_a_movie_that_refers_to_another_file_does_not_get_it(tmp_path, monkeypatch):
    """QuickTime keeps the samples elsewhere if the data reference says so: it stays unread."""
    secret = save(tmp_path / "secret.mov", encoded(SOUND, RATE, container="mov", codec="pcm_s16le"))
    data = bytearray(secret.read_bytes())
    place = data.index(b"url ")
    data[place + 4 : place + 8] = bytes(4)  # not in this file
    movie = bytes(data).replace(b"mdat", b"free")
    path = save(tmp_path / "a.mov", movie)
    opened = []
    monkeypatch.setattr("builtins.open", watched(open, opened))
    with suppress(AudioReadError):  # FFmpeg may take the place of the samples for one in this file
        read_channels(path)
    assert {str(one) for one in opened} == {str(path)}


def run_fuzz(folder: Path, files: int, seed: int, processes: int = 2) -> list[dict]:
    """Reads mutated files in worker processes; what was wrong with one is in its ``faults``."""
    results, lock = [], threading.Lock()

    def work(first: int, last: int) -> None:
        while first < last:
            command = [
                sys.executable,
                "-W",
                "ignore",
                str(WORKER),
                str(folder),
                str(seed),
                str(first),
                str(last),
            ]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process:
                # A decoder that never comes back is ended, and counted.
                killer = threading.Timer(120 + 0.5 * (last - first), process.kill)
                killer.start()
                started, found = None, []
                for line in process.stdout:
                    row = json.loads(line)
                    if "faults" in row:
                        found.append(row)
                        started = None
                    else:
                        started = row
                killer.cancel()
                code = process.wait()
            if started is not None:
                found.append({**started, "faults": [f"the process ended with {code}"]})
            with lock:
                results.extend(found)
            if code == 0 or not found:
                return
            first = found[-1]["file"] + 1

    step = -(-files // processes)
    threads = [
        threading.Thread(target=work, args=(first, min(first + step, files)))
        for first in range(0, files, step)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def check_fuzz(folder: Path, files: int, seed: int) -> None:
    results = run_fuzz(folder, files, seed)
    assert [row for row in results if row["faults"]] == []
    assert sorted(row["file"] for row in results) == list(range(files))
    # Damages that no one notices, and such that let nothing through, would test little.
    read = sum(row["whole"] == "read" for row in results)
    assert 0.2 * files < read < 0.8 * files


@pytest.mark.slow
def test_mutated_files_are_read_or_refused(tmp_path):
    check_fuzz(tmp_path, 500, seed=0)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_files_are_read_or_refused(tmp_path):
    check_fuzz(
        tmp_path,
        int(os.environ.get("AURICLE_FUZZ_FILES", "10000")),
        int(os.environ.get("AURICLE_FUZZ_SEED", "1")),
    )


def test_a_crash_of_a_decoder_would_be_seen(tmp_path, monkeypatch):
    """The watching itself: a worker that dies, one that reports, and one that is fine."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, sys\n"
        "for number in range(int(sys.argv[3]), int(sys.argv[4])):\n"
        "    print(json.dumps({'file': number, 'name': 'x'}), flush=True)\n"
        "    if number == 2: os.abort()\n"
        "    faults = ['slow'] if number == 4 else []\n"
        "    print(json.dumps({'file': number, 'faults': faults, 'whole': 'read'}), flush=True)\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "WORKER", script)
    found = {row["file"]: row["faults"] for row in run_fuzz(tmp_path, 6, 0)}
    assert sorted(found) == list(range(6))
    assert "ended with" in found[2][0] and found[4] == ["slow"]
    assert not any(found[number] for number in (0, 1, 3, 5))
