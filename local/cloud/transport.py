"""Loopback counts as TLS, so that the template's TLS-only policies can stay as they are without a certificate."""

from ministack import app
from ministack.core.iam_evaluator import pin_request_origin


def install() -> None:
    def pin_loopback(source_ip: str, secure_transport: bool) -> None:
        pin_request_origin(source_ip, secure_transport or source_ip == "127.0.0.1")

    app.pin_request_origin = pin_loopback
