"""The encrypted connection to the broker: what it needs, and its failures in words."""

from __future__ import annotations

import ssl
from pathlib import Path

from hivewatch.config.sections import TlsConfig
from hivewatch.errors import ConfigError

# X509_V_ERR_... of OpenSSL.
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = {62, 64}
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}

_BY_REASON = {
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS: check mqtt.port and mqtt.tls.enabled",
    "HTTP_REQUEST": "what listens there does not speak TLS: check mqtt.port and mqtt.tls.enabled",
    "CERTIFICATE_REQUIRED": "the broker asks for a certificate of the hive: set mqtt.tls.certificate_file",
    "HANDSHAKE_FAILURE": "the broker refuses the handshake: it may ask for mqtt.tls.certificate_file",
    "UNKNOWN_CA": "the broker does not know the authority that signed mqtt.tls.certificate_file",
    "CERTIFICATE_EXPIRED": "the broker says that mqtt.tls.certificate_file has expired: renew it",
    "CERTIFICATE_REVOKED": "the broker says that mqtt.tls.certificate_file was revoked: renew it",
    "BAD_CERTIFICATE": "the broker refuses mqtt.tls.certificate_file",
    "NO_APPLICATION_PROTOCOL": "the broker knows none of the protocols in mqtt.tls.alpn",
    "PROTOCOL_VERSION": "the broker speaks no TLS of version 1.2 or later",
}


def make_context(config: TlsConfig) -> ssl.SSLContext:
    """Return what checks the broker and shows who we are; raises ConfigError for a file that cannot serve."""
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


def in_words(error: ssl.SSLError) -> str:
    """Return why there is no encrypted connection, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_trusted(error)
    return alert_in_words(f"{error.reason or error}") or f"no encrypted connection: {error}"


def alert_in_words(text: str) -> str | None:
    """Return what a message of OpenSSL means; None for one that is not known here."""
    folded = text.upper().replace(" ", "_")
    return next((words for reason, words in _BY_REASON.items() if reason in folded), None)


def _not_trusted(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "the broker's certificate has expired: renew it there (or this machine's clock is ahead)"
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet: is this machine's clock behind?"
    if code in _WRONG_NAME:
        return (
            "the broker's certificate is for another host: "
            f"mqtt.host must be a name that stands in it ({error.verify_message})"
        )
    if code in _UNKNOWN_AUTHORITY:
        return (
            "the broker's certificate was signed by an authority that is not trusted here: "
            f"mqtt.tls.ca_file must hold that authority's certificate ({error.verify_message})"
        )
    return f"the broker's certificate is not accepted: {error.verify_message}"


def _load_authority(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise ConfigError([f"mqtt.tls.ca_file {path} cannot serve: {_reason(error)}"]) from error


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        if b"ENCRYPTED" in key.read_bytes():
            raise ConfigError(
                [f"mqtt.tls.key_file {key} is protected by a pass phrase that nobody can give: remove it"]
            )
        context.load_cert_chain(certificate, key, password="")  # else OpenSSL would ask on the terminal
    except OSError as error:
        raise ConfigError(
            [f"mqtt.tls.certificate_file {certificate} and key_file {key} cannot serve: {_reason(error)}"]
        ) from error


def _reason(error: OSError) -> str:
    text = f"{error}".upper()
    if "MISMATCH" in text:
        return "the key does not belong to the certificate"
    if any(words in text for words in ("PEM", "NO START LINE", "NO CERTIFICATE")):
        return "not a PEM file of that kind"
    return error.strerror or f"{error}"
