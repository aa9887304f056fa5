import hashlib
import http.server
import re
import resource
import shutil
import threading
from pathlib import Path

import pytest

from edge import catalog, download
from edge.catalog import Catalog
from edge.download import Expected
from edge.errors import ModelError
from edge.inference.labels import read_labels
from tests.support import ROOT, shared_assets

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes: several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
OTHER = b"another model" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; ``server.ranges`` off ignores Range, ``server.cut`` breaks off after so many bytes."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = self._start(content)
        if start is None:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.cut])

    def _start(self, content):
        given = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if not given or not self.server.ranges:
            return 0
        return int(given[1]) if int(given[1]) < len(content) else None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.files, made.asked = {"/mirror/model.tflite": CONTENT, "/mirror/twin.tflite": CONTENT}, []
    made.ranges, made.lengths, made.cut = True, True, None
    made.mirror = f"http://127.0.0.1:{made.server_port}/mirror"
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


ENTRY = """
[[models]]
name = "{name}"
about = "a made model"
file = "{file}"
url = "https://models.invalid/{file}"
license = "Apache-2.0"
input = [300, 300]
decoder = "ssd"
resize = "stretch"
labels = "coco90.txt"
runs_on = "cpu"
{more}
"""


def made_catalog(tmp_path, more=f'sha256 = "{SHA256}"', extra="", name="model"):
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    (root / "catalog.toml").write_text(ENTRY.format(name=name, file="model.tflite", more=more) + extra)
    return Catalog.load(root)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.mark.parametrize(
    "more", [f'sha256 = "{SHA256}"', f'git_blob = "{GIT_BLOB}"', f'sha256 = "{SHA256}"\nsize = {len(CONTENT)}']
)
def test_pull_checks_keeps_and_records(tmp_path, store, server, more):
    told = []
    models = made_catalog(tmp_path, more)
    (path,) = models.pull("model", store, server.mirror, lambda *each: told.append(each))
    assert path == store / "model.tflite"
    assert path.read_bytes() == CONTENT
    assert (store / "model.tflite.sha256").read_text() == f"{SHA256}  model.tflite\n"
    assert told[-1] == ("model", len(CONTENT), len(CONTENT))
    assert sorted(each.name for each in store.iterdir()) == ["model.tflite", "model.tflite.sha256"]
    assert models.state("model", store) == "ok"


def test_what_is_here_and_right_is_not_fetched_again(tmp_path, store, server):
    models = made_catalog(tmp_path)
    models.pull("model", store, server.mirror)
    models.pull("model", store, server.mirror)
    assert len(server.asked) == 1


def test_a_broken_download_goes_on_where_it_stopped(tmp_path, store, server):
    models = made_catalog(tmp_path)
    server.cut = 100_000
    with pytest.raises(ModelError, match="connection broke after 100000 of 307200 bytes; run it again"):
        models.pull("model", store, server.mirror)
    assert not (store / "model.tflite").exists()
    assert models.state("model", store) == "missing"
    server.cut = None
    models.pull("model", store, server.mirror)
    assert server.asked[-1][1] == "bytes=100000-"
    assert (store / "model.tflite").read_bytes() == CONTENT


def test_a_server_that_ignores_range_starts_again(tmp_path, store, server):
    models = made_catalog(tmp_path)
    store.mkdir()
    (store / "model.tflite.part").write_bytes(CONTENT[:5000])
    server.ranges = False
    models.pull("model", store, server.mirror)
    assert server.asked == [("/mirror/model.tflite", "bytes=5000-")]
    assert (store / "model.tflite").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [OTHER, CONTENT + b"more", OTHER * 30])
@pytest.mark.parametrize("size", ["", f"size = {len(CONTENT)}"])
def test_a_part_of_another_file_is_thrown_away(tmp_path, store, server, part, size):
    models = made_catalog(tmp_path, f'sha256 = "{SHA256}"\n{size}')
    store.mkdir()
    (store / "model.tflite.part").write_bytes(part)
    models.pull("model", store, server.mirror)
    assert (store / "model.tflite").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_used(tmp_path, store, server):
    models = made_catalog(tmp_path)
    store.mkdir()
    (store / "model.tflite.part").write_bytes(CONTENT)
    models.pull("model", store, server.mirror)
    assert (store / "model.tflite").read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("served", [OTHER, CONTENT[:-1] + b"x", CONTENT + b"x", b""])
@pytest.mark.parametrize("size", ["", f"size = {len(CONTENT)}"])
def test_wrong_bytes_are_not_kept(tmp_path, store, server, served, lengths, size):
    models = made_catalog(tmp_path, f'sha256 = "{SHA256}"\n{size}')
    server.files["/mirror/model.tflite"] = served
    server.lengths = lengths
    for _ in range(2):
        with pytest.raises(ModelError, match=r"not the right file|connection broke") as caught:
            models.pull("model", store, server.mirror)
        assert "\n" not in str(caught.value)
    assert not (store / "model.tflite").exists()


def test_a_failing_hash_deletes_nothing_that_worked(tmp_path, store, server):
    models = made_catalog(tmp_path)
    store.mkdir()
    (store / "model.tflite").write_bytes(b"an older edition that worked")
    server.files["/mirror/model.tflite"] = OTHER
    with pytest.raises(ModelError, match=r"not the right file.*--from DIR.*PREACT_EDGE_MODEL_MIRROR"):
        models.pull("model", store, server.mirror)
    assert [each.name for each in store.iterdir()] == ["model.tflite"]
    assert (store / "model.tflite").read_bytes() == b"an older edition that worked"


def test_a_server_without_the_file_and_no_server_at_all(tmp_path, store, server):
    models = made_catalog(tmp_path)
    with pytest.raises(ModelError, match=r"answered 404.*--from DIR"):
        models.pull("model", store, server.mirror + "/nowhere")
    with pytest.raises(ModelError, match=r"cannot be fetched: .*refused.*--from DIR"):
        models.pull("model", store, "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=r"https://models.invalid/model.tflite: cannot be fetched: .*--from DIR"):
        models.pull("model", store)
    assert not (store / "model.tflite").exists()


def test_https_is_not_left_for_http():
    handler = download._SameOrSafer()
    request = download.urllib.request.Request("https://example.invalid/a")
    with pytest.raises(download.urllib.error.URLError, match="not https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.invalid/a")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://example.invalid/b") is not None


def test_other_addresses_are_refused(tmp_path, store):
    with pytest.raises(ModelError, match="only https"):
        made_catalog(tmp_path).pull("model", store, "ftp://127.0.0.1/mirror")


def test_a_full_disk_is_told_apart_from_a_broken_connection(tmp_path, store, server):
    models = made_catalog(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(
            ModelError, match=r"model\.tflite\.part cannot be written: File too large; free some space"
        ) as caught:
            models.pull("model", store, server.mirror)
        assert "fetched" not in str(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (store / "model.tflite").exists()
    models.pull("model", store, server.mirror)
    assert (store / "model.tflite").read_bytes() == CONTENT


def test_a_copy_that_meets_a_full_disk_leaves_nothing_on_it(tmp_path, store):
    models = made_catalog(tmp_path)
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(CONTENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(ModelError, match="cannot be written: File too large; free some space"):
            models.pull("model", store, str(folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(store.iterdir()) == []


def test_a_store_that_cannot_be_written(tmp_path, server):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be read: Not a directory"):
        made_catalog(tmp_path).pull("model", tmp_path / "file" / "store", server.mirror)
    with pytest.raises(ModelError, match="--store DIR"):
        made_catalog(tmp_path).pull("model", Path("/proc/none"), server.mirror)


def test_two_pulls_of_one_model_do_not_mix(tmp_path, store, server):
    models = made_catalog(tmp_path)
    store.mkdir()
    with (
        download._exclusive(store / "model.tflite.part", Expected("model")),
        pytest.raises(ModelError, match="another process is pulling it"),
    ):
        models.pull("model", store, server.mirror)
    models.pull("model", store, server.mirror)


def test_from_a_folder(tmp_path, store):
    models = made_catalog(tmp_path)
    folder = tmp_path / "usb stick"
    with pytest.raises(ModelError, match="is no folder"):
        models.pull("model", store, str(folder))
    folder.mkdir()
    with pytest.raises(ModelError, match=r"usb stick/model\.tflite: cannot be read: No such file"):
        models.pull("model", store, str(folder))
    (folder / "model.tflite").write_bytes(OTHER)
    with pytest.raises(ModelError, match="not the right file"):
        models.pull("model", store, str(folder))
    assert not (store / "model.tflite").exists()
    (folder / "model.tflite").write_bytes(CONTENT)
    models.pull("model", store, str(folder))
    assert (store / "model.tflite").read_bytes() == CONTENT


def test_from_a_folder_and_a_file_address_with_a_real_model(tmp_path):
    models, source = Catalog.load(), shared_assets() / "models" / "ssd_mobilenet_v1_coco_quant.tflite"
    (path,) = models.pull("ssd-mobilenet-v1", tmp_path / "a", str(source.parent))  # there under another name
    assert models.state("ssd-mobilenet-v1", tmp_path / "a") == "ok"
    assert path.stat().st_size == models.entry("ssd-mobilenet-v1").size
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    shutil.copy(source, mirror / path.name)
    models.pull("ssd-mobilenet-v1", tmp_path / "b", mirror.as_uri())
    spec = models.resolve("ssd-mobilenet-v1", "", tmp_path / "b")
    assert (spec.decoder, spec.resize, spec.cpu_twin) == ("ssd", "stretch", None)
    assert read_labels(spec.labels).names[48] == "knife"


def test_an_accelerators_model_brings_its_cpu_twin(tmp_path, store, server):
    more = f'sha256 = "{SHA256}"\n'
    extra = ENTRY.format(name="twin", file="twin.tflite", more=more)
    models = made_catalog(tmp_path, more + 'cpu_twin = "twin"', extra)
    assert [each.name for each in models.pull("model", store, server.mirror)] == ["model.tflite", "twin.tflite"]
    spec = models.resolve("model", "", store)
    assert spec.cpu_twin.path == store / "twin.tflite"
    (store / "twin.tflite").unlink()
    assert models.resolve("model", "", store).cpu_twin is None


@pytest.mark.parametrize("more", [f'sha256 = "{SHA256}"', f'git_blob = "{GIT_BLOB}"'])
def test_a_change_after_the_pull_is_noticed(tmp_path, store, server, more):
    models = made_catalog(tmp_path, more)
    (path,) = models.pull("model", store, server.mirror)
    with path.open("r+b") as file:
        file.write(b"x")
    assert models.state("model", store) == "changed"
    with pytest.raises(ModelError, match="has changed; fetch it again: preact-edge models pull model"):
        models.resolve("model", "", store)
    models.pull("model", store, server.mirror)
    assert models.state("model", store) == "ok"


def test_the_record_is_believed_over_a_weaker_hash(tmp_path, store, server):
    models = made_catalog(tmp_path, f'git_blob = "{GIT_BLOB}"')
    models.pull("model", store, server.mirror)
    (store / "model.tflite.sha256").write_text(f"{'0' * 64}  model.tflite\n")
    assert models.state("model", store) == "changed"


def test_resolve(tmp_path, store):
    models = Catalog.load()
    spec = models.resolve("bundled", "", store)
    assert (spec.name, spec.decoder, spec.resize) == ("bundled", "yolo", "letterbox")
    assert spec.path.is_file()
    assert read_labels(spec.labels).names == {0: "person", 1: "knife"}
    with pytest.raises(ModelError, match="fetch it with: preact-edge models pull ssd-mobilenet-v1"):
        models.resolve("ssd-mobilenet-v1", "", store)
    with pytest.raises(ModelError, match="ships with the program"):
        models.pull("bundled", store)
    with pytest.raises(ModelError, match="did you mean mobiledet"):
        models.resolve("mobildet", "", store)
    with pytest.raises(ModelError, match="models list"):
        models.resolve("zzz", "", store)
    with pytest.raises(ModelError, match="is a folder"):
        models.resolve(str(tmp_path), "", store)


def test_resolve_of_a_path(tmp_path, store):
    path = tmp_path / "mine_edgetpu.tflite"
    path.write_bytes(CONTENT)
    spec = Catalog.load().resolve(str(path), "", store)
    assert (spec.name, spec.path, spec.labels, spec.decoder, spec.cpu_twin) == ("mine_edgetpu", path, None, "", None)
    (tmp_path / "mine.tflite").write_bytes(CONTENT)
    spec = Catalog.load().resolve(str(path), str(tmp_path / "labels.txt"), store)
    assert spec.cpu_twin.path == tmp_path / "mine.tflite"
    assert spec.labels == spec.cpu_twin.labels == tmp_path / "labels.txt"


def test_the_catalogue_that_ships():
    models = Catalog.load()
    assert len(models.entries) == 10
    for entry in models.entries.values():
        assert entry.license == "Apache-2.0"
        assert (len(entry.sha256), len(entry.git_blob)) in ((64, 0), (0, 40)), entry.name
        assert (ROOT / "models" / "labels" / entry.labels).is_file()
        assert ("_edgetpu" in entry.file) == (entry.runs_on == "edgetpu") == bool(entry.cpu_twin), entry.name
        if entry.cpu_twin:
            assert models.entry(entry.cpu_twin).file == entry.file.replace("_edgetpu", "")
    assert len({entry.file for entry in models.entries.values()}) == 10


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "neither sha256 nor git_blob"),
        (f'sha256 = "{SHA256}"\ncpu_twin = "none"', "another entry"),
        (f'sha256 = "{SHA256}"\nsha265 = "1"', "sha265"),
        ("sha256 = 1", "sha256"),
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path, more, words):
    with pytest.raises(ModelError, match=words):
        made_catalog(tmp_path, more)


def test_a_missing_catalogue_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        Catalog.load(tmp_path)


def test_models_root_is_the_checkouts_or_the_packages():
    assert (catalog.models_root() / "catalog.toml").is_file()
