"""The certificate authority of a local cloud, and certificates for the servers that speak TLS.

On AWS, the authority of RDS databases is private, and that of RDS Proxy and ElastiCache is one that systems trust.
"""

import os
import ssl
import tempfile
from functools import cache, cached_property
from pathlib import Path

from ministack.core import x509_utils

from local_cloud.fronts import ADDRESSES


class Authority:
    """A certificate authority in a directory: the files are made once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate = directory / "authority.pem"
        key = directory / "authority.key"
        if not self.certificate.exists():
            certificate, private = x509_utils.generate_ca("local-cloud", "Local cloud")
            key.touch(mode=0o600)
            key.write_text(private)
            self.certificate.write_text(certificate)
        self._key = key.read_text()

    @property
    def trusted(self) -> Path:
        """A file with this authority and the usual ones of this system, for ``SSL_CERT_FILE``."""
        file = self._directory / "trusted.pem"
        paths = ssl.get_default_verify_paths()
        usual = paths.cafile or paths.openssl_cafile
        parts = [Path(usual).read_text()] if usual and Path(usual).exists() else []
        file.write_text("\n".join([*parts, self.certificate.read_text()]))
        return file

    @cached_property
    def server_files(self) -> tuple[Path, Path]:
        """The certificate of a server at any address of this machine, and its key."""
        certificate, key, _ = x509_utils.sign_leaf_certificate(
            self.certificate.read_text(), self._key, "localhost", ["localhost"], ADDRESSES, key_type="ec256"
        )
        files = self._directory / "server.pem", self._directory / "server.key"
        files[1].touch(mode=0o600)
        for file, text in zip(files, (certificate, key), strict=True):
            file.write_text(text)
        return files

    @cached_property
    def server_context(self) -> ssl.SSLContext:
        """The TLS settings of a server at an address of this machine."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.server_files)
        return context


@cache
def cloud_authority() -> Authority:
    """The authority of this cloud, which functions and containers that start from now on trust."""
    authority = Authority(Path(tempfile.gettempdir()) / "certificates")
    os.environ["SSL_CERT_FILE"] = str(authority.trusted)
    return authority
