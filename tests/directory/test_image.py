"""The container's image: the same program gives the same image, and a registry gets all of it."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import room_modules
from rooms import PROJECT

before_deploy = room_modules.load(PROJECT / "scripts", "before_deploy")["directory"]
Image, Registry = before_deploy.Image, before_deploy.Registry

PROGRAM = b"\x7fELF" + bytes(range(256)) * 9
TOKEN = "test"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def made(**more: Any) -> Image:
    return before_deploy.build(**{"program": PROGRAM, "architecture": "arm64", "below": None} | more)


def test_the_same_program_gives_the_same_image() -> None:
    assert made() == made()
    assert made().manifest.digest != made(program=PROGRAM + b"\0").manifest.digest
    assert made().manifest.digest != made(architecture="x86_64").manifest.digest


def test_an_image_is_a_program_that_runs_as_nobody() -> None:
    image = made()
    configuration = json.loads(image.configuration.content)
    assert configuration["architecture"] == "arm64"
    assert configuration["config"] == {"Entrypoint": ["/bootstrap"], "User": "65532:65532"}
    [layer] = image.layers
    content = gzip.decompress(layer.content)
    assert configuration["rootfs"]["diff_ids"] == [digest_of(content)]
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        [entry] = files.getmembers()
        assert (entry.name, entry.mode, entry.uid, entry.mtime) == ("bootstrap", 0o555, 0, 0)
        assert files.extractfile(entry).read() == PROGRAM


# ---- On top of another image


class Shelf(BaseHTTPRequestHandler):
    """A registry that gives a token to everyone, and contents only with the token."""

    contents: dict[str, bytes]

    def do_GET(self) -> None:
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path == "/token?service=shelf&scope=repository:base:pull":
            self._answer(200, json.dumps({"token": TOKEN}).encode())
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            challenge = f'Bearer realm="{address}/token",service="shelf",scope="repository:base:pull"'
            self._answer(401, b"", **{"WWW-Authenticate": challenge})
        else:
            self._answer(200, self.contents[self.path.removeprefix("/v2/base/")])

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


BELOW = made(program=b"the C library")


@pytest.fixture
def shelf() -> Iterator[tuple[Registry, dict[str, bytes]]]:
    """A registry with an image for arm64, and what it holds."""
    platforms = {"arm64": BELOW.manifest, "amd64": made(architecture="x86_64").manifest}
    index = {
        "manifests": [
            {**manifest.descriptor, "platform": {"os": "linux", "architecture": name, "variant": "v8"}}
            for name, manifest in platforms.items()
        ]
    }
    contents = {"manifests/index": json.dumps(index).encode()}
    contents |= {f"manifests/{digest_of(content)}": content for content in list(contents.values())}
    for blob in [BELOW.manifest, BELOW.configuration, *BELOW.layers]:
        contents[f"{'manifests' if blob is BELOW.manifest else 'blobs'}/{blob.digest}"] = blob.content
    handler = type("Handler", (Shelf,), {"contents": contents})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Registry(f"http://127.0.0.1:{server.server_address[1]}/v2/base"), contents
    server.shutdown()
    server.server_close()


def test_a_program_can_be_put_on_top_of_an_image_that_is_named_by_its_digest(
    shelf: tuple[Registry, dict[str, bytes]],
) -> None:
    registry, contents = shelf
    below = before_deploy.base(registry, digest_of(contents["manifests/index"]), "arm64")
    assert below == BELOW
    image = made(below=below)
    assert image.layers == [*BELOW.layers, *made().layers]
    uncompressed = [digest_of(gzip.decompress(layer.content)) for layer in image.layers]
    assert json.loads(image.configuration.content)["rootfs"]["diff_ids"] == uncompressed


def test_an_image_whose_content_was_exchanged_is_refused(shelf: tuple[Registry, dict[str, bytes]]) -> None:
    registry, contents = shelf
    contents[f"blobs/{BELOW.layers[0].digest}"] = b"something else"
    with pytest.raises(ValueError, match="has another digest"):
        before_deploy.base(registry, digest_of(contents["manifests/index"]), "arm64")


# ---- In ECR


class Ecr:
    """The calls of ECR that push an image; refuses what ECR refuses."""

    class exceptions:
        class ImageAlreadyExistsException(Exception):
            pass

    def __init__(self, part_size: int) -> None:
        self.part_size = part_size
        self.layers: dict[str, bytes] = {}
        self.images: dict[str, str] = {}
        self.uploads: dict[str, bytes] = {}

    def batch_check_layer_availability(self, repositoryName: str, layerDigests: list[str]) -> dict[str, Any]:
        known = [{"layerDigest": one, "layerAvailability": "AVAILABLE"} for one in layerDigests if one in self.layers]
        return {"layers": known, "failures": [{"layerDigest": one} for one in layerDigests if one not in self.layers]}

    def initiate_layer_upload(self, repositoryName: str) -> dict[str, Any]:
        self.uploads[upload := str(len(self.uploads))] = b""
        return {"uploadId": upload, "partSize": self.part_size}

    def upload_layer_part(
        self, repositoryName: str, uploadId: str, partFirstByte: int, partLastByte: int, layerPartBlob: bytes
    ) -> None:
        assert partFirstByte == len(self.uploads[uploadId])
        self.uploads[uploadId] += layerPartBlob
        assert partLastByte == len(self.uploads[uploadId]) - 1

    def complete_layer_upload(self, repositoryName: str, uploadId: str, layerDigests: list[str]) -> None:
        assert layerDigests == [digest_of(self.uploads[uploadId])]
        self.layers[layerDigests[0]] = self.uploads.pop(uploadId)

    def put_image(self, repositoryName: str, imageManifest: str, imageManifestMediaType: str, imageDigest: str) -> None:
        assert imageDigest == digest_of(imageManifest.encode())
        if imageDigest in self.images:
            raise self.exceptions.ImageAlreadyExistsException
        manifest = json.loads(imageManifest)
        assert {one["digest"] for one in [manifest["config"], *manifest["layers"]]} <= self.layers.keys()
        self.images[imageDigest] = imageManifest


def test_a_repository_gets_all_parts_of_an_image_and_only_those_that_it_lacks() -> None:
    ecr, image = Ecr(part_size=100), made(below=BELOW)
    before_deploy.push(ecr, "server", BELOW)
    before_deploy.push(ecr, "server", image)
    before_deploy.push(ecr, "server", image)
    assert ecr.images.keys() == {BELOW.manifest.digest, image.manifest.digest}
    for blob in image.layers:
        assert ecr.layers[blob.digest] == blob.content
