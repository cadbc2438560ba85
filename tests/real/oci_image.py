"""A tiny real image, as an OCI image layout (OCI image specification 1.0, image-layout.md)."""

import gzip
import hashlib
import io
import json
import secrets
import tarfile
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def write_image(layout: Path, tag: str) -> str:
    """Make the directory `layout` with one image named `tag`: one layer with one file of random bytes, so that no two images are alike.

    Returns the manifest's digest, `sha256:…`.
    """
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(media_type: str, data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    content = secrets.token_bytes(1024)
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w") as archive:
        entry = tarfile.TarInfo("etc/image-id")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(unpacked.getvalue()).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(CONFIG, json.dumps(config).encode()),
        "layers": [blob(LAYER, gzip.compress(unpacked.getvalue()))],
    }
    descriptor = blob(MANIFEST, json.dumps(manifest).encode())
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    return str(descriptor["digest"])
