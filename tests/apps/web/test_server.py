"""The app as a server: everybody is answered, nothing else of the machine is, and it ends when it is told to."""

import io
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from support.web_server import app

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    (folder / "secret.txt").write_text("nobody's business")
    Image.effect_noise((64, 48), 60).convert("RGB").save(folder / "picture.png")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path):
    with app(cwd=folder) as served:
        yield served.address


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def uploaded(address: str, file: Path) -> dict:
    """What the app calls a picture that was given to it."""
    head = f"--x\r\nContent-Disposition: form-data; name=files; filename={file.name}\r\n\r\n"
    body = head.encode() + file.read_bytes() + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/gradio_api/upload", body, kind), timeout=60) as told:
        return given(json.load(told)[0])


def given(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def answered(address: str, name: str, *data: object) -> tuple[str, list | dict]:
    """How an event ended, and with what."""
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(f"{address}/gradio_api/call/{name}", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as asked:
        event = json.load(asked)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/{name}/{event}", timeout=60) as stream:
        *_, kind, what = (line for line in stream.read().decode().splitlines() if line)
    return kind.removeprefix("event: "), json.loads(what.removeprefix("data: "))


def test_twenty_requests_at_once_are_all_answered(address, folder):
    names = ["gaussian_blur", "pixelate", "gaussian_mask", "snow", "salt_and_pepper"]
    file = uploaded(address, folder / "picture.png")

    def ask(i: int) -> bytes:
        kind, shown = answered(address, "degrade", file, file, names[i % 5], (i + 1) / 20, i)
        assert kind == "complete", shown
        with urllib.request.urlopen(shown[0]["url"], timeout=60) as picture:
            return picture.read()

    with ThreadPoolExecutor(20) as pool:
        pictures = list(pool.map(ask, range(20)))
    for png in pictures:
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.size == (64, 48)
    assert len(set(pictures)) == 20, "somebody was given another's picture"


def test_no_file_outside_its_folder_is_served(address, folder):
    for path in ("/etc/passwd", "../../../../etc/passwd", str(folder / "secret.txt"), "secret.txt", "picture.png"):
        assert status(f"{address}/gradio_api/file={path}") == 403, path


def test_no_file_outside_its_folder_is_read(address, folder):
    for path in ("/etc/passwd", str(folder / "picture.png")):
        kind, said = answered(address, "degrade", given(path), None, "pixelate", 0.5, 0)
        assert kind == "error" and "not uploaded by a user" in said["error"]


def test_no_address_is_fetched_for_anybody(address):
    for url in ("http://example.com/a.png", "https://93.184.216.34/a.png"):
        kind, said = answered(address, "degrade", given(url), None, "pixelate", 0.5, 0)
        assert kind == "error" and "asks nothing of other machines" in said["error"]
        assert status(f"{address}/gradio_api/file={url}") >= 400


def test_a_file_that_is_too_large_is_refused(address, folder):
    (folder / "large.png").write_bytes(bytes(21 * 2**20))
    with pytest.raises(OSError) as refused:  # told, or hung up on half-way
        uploaded(address, folder / "large.png")
    if isinstance(refused.value, urllib.error.HTTPError):
        refused.value.close()
        assert refused.value.code == 413


def test_a_broken_picture_is_told_in_one_line(address, folder):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    kind, said = answered(address, "degrade", uploaded(address, folder / "broken.png"), None, "pixelate", 0.5, 0)
    assert (kind, said["error"]) == ("error", "'broken.png' cannot be shown: empty, or of no format that Pillow knows")


def test_it_listens_to_this_machine_only(address):
    assert address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_it_ends_when_told_to_and_leaves_nothing_behind(tmp_path, stop):
    with app(cwd=tmp_path, stop=stop) as served:
        assert status(served.address) == 200 and list(tmp_path.glob("colddiff-app-*"))
    assert served.code == 128 + stop and not list(tmp_path.glob("colddiff-app-*"))
    assert served.said == "colddiff: stopped\n"


def test_a_port_that_is_taken_is_told_in_a_line(address, tmp_path):
    command = [sys.executable, "-m", "colddiff", "app", "--port", address.rpartition(":")[2]]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and "port" in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr
