"""TLS to the broker: the context to connect with, and its failures in plain words."""

from __future__ import annotations

import ssl
from pathlib import Path

from hivewatch.config.files import read_small
from hivewatch.config.sections import TlsConfig
from hivewatch.errors import ConfigError

# The bundle of all authorities that a system trusts has a quarter of that.
_LARGEST_BYTES = 1_000_000

# X509_V_ERR_... of OpenSSL.
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = {62, 64}
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}

_BY_REASON = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS: check mqtt.port and mqtt.tls.enabled",
    "HTTP_REQUEST": "the server does not speak TLS: check mqtt.port and mqtt.tls.enabled",
    "CERTIFICATE_REQUIRED": "the broker requires a client certificate: set mqtt.tls.certificate_file",
    "HANDSHAKE_FAILURE": "the broker refuses the handshake: it may require mqtt.tls.certificate_file",
    "UNKNOWN_CA": "the broker does not trust the authority that signed mqtt.tls.certificate_file",
    "CERTIFICATE_EXPIRED": "the broker says that mqtt.tls.certificate_file has expired: renew it",
    "CERTIFICATE_REVOKED": "the broker says that mqtt.tls.certificate_file was revoked: renew it",
    "BAD_CERTIFICATE": "the broker refuses mqtt.tls.certificate_file",
    "NO_APPLICATION_PROTOCOL": "the broker supports none of the protocols in mqtt.tls.alpn",
    "PROTOCOL_VERSION": "the broker does not support TLS 1.2 or later",
}


def make_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a context that verifies the broker and, if configured, presents the hive's own certificate.

    Raises ConfigError for a file that cannot be used.
    """
    context = ssl.create_default_context()
    if config.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_authority(context, config.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.certificate_file is not None and config.key_file is not None:
        _load_own(context, config.certificate_file, config.key_file)
    if config.alpn:
        context.set_alpn_protocols(list(config.alpn))
    return context


def describe(error: ssl.SSLError) -> str:
    """Return why the TLS connection failed, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _describe_untrusted(error)
    return describe_alert(f"{error.reason or error}") or f"the TLS connection failed: {error}"


def describe_alert(text: str) -> str | None:
    """Return what an OpenSSL message means, None if it is not a known one."""
    normalised = text.upper().replace(" ", "_")
    return next((words for reason, words in _BY_REASON.items() if reason in normalised), None)


def _describe_untrusted(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "the broker's certificate has expired: renew it (or this machine's clock is ahead)"
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet: is this machine's clock behind?"
    if code in _WRONG_NAME:
        return (
            "the broker's certificate is for another host: "
            f"mqtt.host must be a name that the certificate lists ({error.verify_message})"
        )
    if code in _UNKNOWN_AUTHORITY:
        return (
            "the broker's certificate was signed by an authority that is not trusted: "
            f"mqtt.tls.ca_file must hold that authority's certificate ({error.verify_message})"
        )
    return f"the broker's certificate is not valid: {error.verify_message}"


def _load_authority(context: ssl.SSLContext, path: Path) -> None:
    try:
        read_small(path, _LARGEST_BYTES)
        context.load_verify_locations(path)
    except OSError as error:
        raise ConfigError([f"mqtt.tls.ca_file {path} cannot be used: {_reason(error)}"]) from error


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        read_small(certificate, _LARGEST_BYTES)
        if b"ENCRYPTED" in read_small(key, _LARGEST_BYTES):
            raise ConfigError([f"mqtt.tls.key_file {key} is protected by a pass phrase: remove it"])
        # Without a password OpenSSL would prompt for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise ConfigError(
            [f"mqtt.tls.certificate_file {certificate} and key_file {key} cannot be used: {_reason(error)}"]
        ) from error


def _reason(error: OSError) -> str:
    text = f"{error}".upper()
    if "MISMATCH" in text:
        return "the key does not match the certificate"
    if any(words in text for words in ("PEM", "NO START LINE", "NO CERTIFICATE")):
        return "not a PEM file of the expected kind"
    return error.strerror or f"{error}"
