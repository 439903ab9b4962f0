"""Packs the directory's server into a container image and pushes it to ECR, without Docker.

The same program gives the same digest. An image is blobs named by their digests: layers, which are archives of files, a
configuration, and a manifest that names them (https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md).
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from beside import PROJECT, sam_deploy

SERVER = "directory-server"
# glibc and nothing else that runs: cargo-lambda links the server to it, as it does the functions.
BASE = "https://gcr.io/v2/distroless/cc-debian13"
BASE_DIGEST = "sha256:e792ab3d241a468a4fd7519ddbbebe66b49b5f365771716ea688ad40b6c6f1c2"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
OCI = "application/vnd.oci.image"
MANIFEST = f"{OCI}.manifest.v1+json"
# Nobody's, as in distroless images.
USER = "65532:65532"
PROGRAM = "bootstrap"
# The names of processors in images, by Lambda's names.
PROCESSORS = {"arm64": "arm64", "x86_64": "amd64"}


@dataclass(frozen=True)
class Blob:
    """A part of an image."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True)
class Image:
    manifest: Blob
    configuration: Blob
    layers: list[Blob]


# ---- The base image, from another registry


class Registry:
    """Reads an image of a registry, without a password (https://distribution.github.io/distribution/spec/auth/token/)."""

    def __init__(self, address: str) -> None:
        """``address`` is the repository's, such as ``https://gcr.io/v2/distroless/cc-debian13``."""
        self.address = address
        self._token = ""

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(
            f"{self.address}/{path}", headers={"Accept": f"{OCI}.index.v1+json, {MANIFEST}"}
        )
        if self._token:
            # Not for the storage that a registry redirects to.
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def read(self, kind: str, digest: str) -> bytes:
        """A manifest or a blob. Raises ``ValueError`` if its content is another's."""
        try:
            content = self._get(f"{kind}/{digest}")
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            wanted = dict(re.findall(r'(\w+)="([^"]*)"', error.headers["WWW-Authenticate"]))
            query = f"service={wanted['service']}&scope={wanted['scope']}"
            with urllib.request.urlopen(f"{wanted['realm']}?{query}", timeout=60) as answer:
                self._token = json.load(answer)["token"]
            content = self._get(f"{kind}/{digest}")
        if digest != f"sha256:{hashlib.sha256(content).hexdigest()}":
            raise ValueError(f"{self.address}/{kind}/{digest} has another digest")
        return content


def base(registry: Registry, digest: str, architecture: str) -> Image:
    """The image with this digest, for this architecture."""
    content = registry.read("manifests", digest)
    if images := json.loads(content).get("manifests"):
        platform = {"os": "linux", "architecture": PROCESSORS[architecture]}
        digest = next(one["digest"] for one in images if platform.items() <= one["platform"].items())
        content = registry.read("manifests", digest)
    manifest = json.loads(content)

    def blob(descriptor: dict[str, Any]) -> Blob:
        return Blob(descriptor["mediaType"], registry.read("blobs", descriptor["digest"]))

    return Image(Blob(MANIFEST, content), blob(manifest["config"]), [*map(blob, manifest["layers"])])


# ---- The image


def packed(program: bytes) -> tuple[Blob, str]:
    """A layer with the program as ``/bootstrap``, and the digest of the layer as it is without compression."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as files:
        # It belongs to root and was changed in 1970, whoever packs it, and when.
        entry = tarfile.TarInfo(PROGRAM)
        entry.size, entry.mode = len(program), 0o555
        files.addfile(entry, io.BytesIO(program))
    content = archive.getvalue()
    compressed = gzip.compress(content, mtime=0)
    return Blob(f"{OCI}.layer.v1.tar+gzip", compressed), f"sha256:{hashlib.sha256(content).hexdigest()}"


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def build(program: bytes, architecture: str, below: Image | None) -> Image:
    """An image that runs the program, not as root, on top of another image or of nothing."""
    layer, uncompressed = packed(program)
    layers = [*(below.layers if below else []), layer]
    others = json.loads(below.configuration.content)["rootfs"]["diff_ids"] if below else []
    configuration = Blob(
        f"{OCI}.config.v1+json",
        encoded(
            {
                "os": "linux",
                "architecture": PROCESSORS[architecture],
                "config": {"Entrypoint": [f"/{PROGRAM}"], "User": USER},
                "rootfs": {"type": "layers", "diff_ids": [*others, uncompressed]},
            }
        ),
    )
    manifest = Blob(
        MANIFEST,
        encoded(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": configuration.descriptor,
                "layers": [layer.descriptor for layer in layers],
            }
        ),
    )
    return Image(manifest, configuration, layers)


# ---- ECR


def parts(content: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    for start in range(0, len(content), size):
        yield start, content[start : start + size]


def push(ecr: Any, repository: str, image: Image) -> None:
    """Uploads what the repository lacks of an image.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_InitiateLayerUpload.html
    """
    blobs = {blob.digest: blob for blob in [*image.layers, image.configuration]}
    known = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[*blobs])["layers"]
    present = {layer["layerDigest"] for layer in known if layer["layerAvailability"] == "AVAILABLE"}
    for digest in blobs.keys() - present:
        started = ecr.initiate_layer_upload(repositoryName=repository)
        upload = {"repositoryName": repository, "uploadId": started["uploadId"]}
        for start, part in parts(blobs[digest].content, started["partSize"]):
            ecr.upload_layer_part(**upload, partFirstByte=start, partLastByte=start + len(part) - 1, layerPartBlob=part)
        ecr.complete_layer_upload(**upload, layerDigests=[digest])
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(
            repositoryName=repository,
            imageManifest=image.manifest.content.decode(),
            imageManifestMediaType=image.manifest.media_type,
            imageDigest=image.manifest.digest,
        )


# ---- The deployment


def before_deploy(root: str, environment: str, parameters: dict[str, str]) -> dict[str, str]:
    """The parameter that a deployment of the stack needs besides those that are given: the image."""
    architecture, below = parameters.get("Architecture", "arm64"), None
    # The local cloud runs the program as a process of this machine, for which `make up` and `make test` have built it.
    if environment != "local":
        target = {"arm64": "--arm64", "x86_64": "--x86-64"}[architecture]
        subprocess.run(["cargo", "lambda", "build", "--release", target, "--package", SERVER], cwd=PROJECT, check=True)
        below = base(Registry(BASE), BASE_DIGEST, architecture)
    sam_deploy("stacks/directory/repository-template.yaml", root, "directory-image", environment, {})
    built = build((TARGET / "lambda" / SERVER / "bootstrap").read_bytes(), architecture, below)
    repository = f"{root}-{SERVER}"
    ecr = boto3.client("ecr")
    push(ecr, repository, built)
    [described] = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    return {"Image": f"{described['repositoryUri']}@{built.manifest.digest}"}
