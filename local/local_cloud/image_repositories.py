"""Repositories of ECR keep the layers of images that are pushed with its calls, and refuse what ECR refuses.

MiniStack keeps layers that come through the registry's own protocol, and discards those that come through ECR's calls.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import ecr

Properties = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]


class ImageMissing(Exception):
    """There is no such image, or a layer of it is missing."""


class Image(NamedTuple):
    """An image in a repository."""

    repository_arn: str
    digest: str
    configuration: Properties
    layers: list[bytes]

    def unpack(self, directory: Path) -> None:
        """Writes the image's files, if that was not done before."""
        if directory.exists():
            return
        for layer in self.layers:
            content = gzip.decompress(layer) if layer.startswith(b"\x1f\x8b") else layer
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(directory, filter="data")


def find(reference: str) -> Image:
    """The image ``<registry>/<repository>@<digest>`` or ``…:<tag>``; raises ``ImageMissing``."""
    name, _, digest = reference.partition("/")[2].partition("@")
    name, _, tag = name.partition(":")
    image = ecr._find_image(name, {"imageDigest": digest, "imageTag": tag or "latest"})
    if image is None:
        raise ImageMissing(f"{reference}: not found")
    manifest, blobs = json.loads(image["imageManifest"]), ecr._layer_blobs.get(name, {})
    try:
        configuration = json.loads(blobs[manifest["config"]["digest"]])
        layers = [blobs[layer["digest"]] for layer in manifest["layers"]]
    except KeyError as missing:
        raise ImageMissing(f"{reference}: its part {missing} is not in the repository") from None
    arn = f"arn:aws:ecr:{get_region()}:{get_account_id()}:repository/{name}"
    return Image(arn, image["imageDigest"], configuration, layers)


def _check_availability(request: Properties) -> Answer:
    name = request["repositoryName"]
    if name not in ecr._repositories:
        return check_availability(request)
    blobs = ecr._layer_blobs.get(name, {})
    layers = [
        {"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": len(blobs[digest])}
        if digest in blobs
        else {"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}
        for digest in request["layerDigests"]
    ]
    return json_response({"layers": layers, "failures": []})


def _upload_part(request: Properties) -> Answer:
    name, upload = request["repositoryName"], request["uploadId"]
    parts = ecr._uploads.setdefault(name, {}).setdefault(upload, bytearray())
    if request["partFirstByte"] != len(parts):
        # API_UploadLayerPart, Errors.
        return error_response_json(
            "InvalidLayerPartException",
            f"The layer part is not valid: the last byte received is {len(parts) - 1}",
            400,
        )
    parts.extend(base64.b64decode(request["layerPartBlob"]))
    return json_response(
        {
            "registryId": ecr._registry_id(),
            "repositoryName": name,
            "uploadId": upload,
            "lastByteReceived": len(parts) - 1,
        }
    )


def _complete_upload(request: Properties) -> Answer:
    name, upload, [wanted] = request["repositoryName"], request["uploadId"], request["layerDigests"]
    content = bytes(ecr._uploads.get(name, {}).pop(upload, b""))
    # API_CompleteLayerUpload, Errors.
    if not content:
        return error_response_json("EmptyUploadException", "The specified layer upload does not contain any parts", 400)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest != wanted:
        return error_response_json("InvalidLayerException", f"The digest of the layer is {digest}, not {wanted}", 400)
    blobs = ecr._layer_blobs.setdefault(name, {})
    if digest in blobs:
        return error_response_json("LayerAlreadyExistsException", f"The layer {digest} already exists", 400)
    blobs[digest] = content
    return json_response(
        {"registryId": ecr._registry_id(), "repositoryName": name, "uploadId": upload, "layerDigest": digest}
    )


def _put_image(request: Properties) -> Answer:
    name, manifest = request["repositoryName"], request["imageManifest"]
    if name not in ecr._repositories:
        return put_image(request)
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    # API_PutImage, Errors.
    if request.get("imageDigest", digest) != digest:
        return error_response_json("ImageDigestDoesNotMatchException", f"The digest of the image is {digest}", 400)
    content, blobs = json.loads(manifest), ecr._layer_blobs.get(name, {})
    for part in [content["config"], *content["layers"]]:
        if part["digest"] not in blobs:
            return error_response_json("LayersNotFoundException", f"The layer {part['digest']} does not exist", 400)
    known = ecr._find_image(name, {"imageDigest": digest})
    if known and request.get("imageTag") in [None, *known["imageTags"]]:
        return error_response_json("ImageAlreadyExistsException", f"The image {digest} already exists", 400)
    return put_image(request)


check_availability, put_image = ecr._batch_check_layer_availability, ecr._put_image


def install() -> None:
    ecr._batch_check_layer_availability = _check_availability
    ecr._upload_layer_part = _upload_part
    ecr._complete_layer_upload = _complete_upload
    ecr._put_image = _put_image
