# SPDX-License-Identifier: Apache-2.0
"""Roles that run apart: certificates between them, and gRPC at the edge."""
import pathlib
import re
import socket
import ssl
import stat
import subprocess

import pytest

from cli import run

ROLES = ["identity", "listing", "operations", "escrow", "credit", "matching", "notifications", "gateway"]
SERVICES = ROLES[:-1]


def addresses(host="127.0.0.1"):
    return [f"--{name}-address={host}:{9101 + i}" for i, name in enumerate(SERVICES)]


# --- certificates

def test_certificates_are_made_kept_and_usable(tmp_path):
    folder = tmp_path / "certificates"
    done = run("certificates", str(folder), "money=escrow,credit")
    assert done.returncode == 0, done.stderr
    assert "issued" in done.stdout and "ca" in done.stdout
    for name in ["ca", "money"] + ROLES:
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
        checked = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.pem", folder / f"{name}.pem"],
                                 capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    text = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", folder / "money.pem"],
                          capture_output=True, text=True, check=True).stdout
    assert "DNS:escrow.millrace.internal, DNS:credit.millrace.internal" in text
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = run("certificates", str(folder), "money=escrow,credit")
    assert again.returncode == 0 and "issued" not in again.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("arguments, sentence", [
    ([], "certificates where?"),
    (["--days"], "certificates where?"),
    (["x", "--days=0"], "--days must be"),
    (["x", "--colour"], "certificates cannot use --colour"),
    (["/proc/nowhere"], "/proc/nowhere cannot be made"),
    (["x", "money=escrow,miller"], "money=escrow,miller: expected NAME=ROLE"),
])
def test_certificates_misused(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("certificates", *arguments)
    assert done.returncode in (1, 2) and sentence in done.stderr, done.stderr


# --- what apart-running roles refuse to start with

def refused(*arguments, **variables):
    done = run("serve", "--role=gateway", *arguments, **variables)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_other_machines_need_certificates():
    said = refused(*addresses(), "--escrow-address=10.0.0.7:9104", MILLRACE_INTERNAL_TOKEN="x")
    for word in ("escrow_address", "internal_certificate", "internal_key", "internal_ca", "millrace certificates"):
        assert word in said
    assert "internal_certificate" in refused(*addresses("0.0.0.0"), MILLRACE_INTERNAL_TOKEN="x")


def test_one_machine_needs_a_token_at_least():
    assert "internal_token: needed" in refused(*addresses())


def test_certificates_must_fit(tmp_path):
    folder, other = tmp_path / "a", tmp_path / "b"
    assert run("certificates", str(folder)).returncode == 0
    assert run("certificates", str(other)).returncode == 0

    def flags(certificate, key, ca):
        return [f"--internal-certificate={certificate}", f"--internal-key={key}", f"--internal-ca={ca}", *addresses("10.0.0.7")]

    good = folder / "gateway.pem", folder / "gateway.key", folder / "ca.pem"
    assert "internal_key: needed" in refused(f"--internal-certificate={good[0]}", f"--internal-ca={good[2]}", *addresses())
    assert "/no/such/file cannot be read" in refused(*flags("/no/such/file", good[1], good[2]))
    assert "the key is not the certificate's" in refused(*flags(good[0], folder / "escrow.key", good[2]))
    assert "did not sign" in refused(*flags(good[0], good[1], other / "ca.pem"))
    said = refused(*flags(folder / "escrow.pem", folder / "escrow.key", good[2]))
    assert "does not name gateway.millrace.internal" in said


# --- a split instance

def escrow_port(platform):
    pid = platform.pid("gateway")
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    address = next(line for line in environment if line.startswith("MILLRACE_ESCROW_ADDRESS="))
    return int(address.rsplit(":", 1)[1])


def handshake(platform, role=None):
    """Speaks TLS to escrow's port as a role, or as nobody; the HTTP/2 SETTINGS that come back, or nothing."""
    folder = platform.data / "certificates"
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.set_alpn_protocols(["h2"])
    if role:
        context.load_cert_chain(folder / f"{role}.pem", folder / f"{role}.key")
    try:
        with socket.create_connection(("127.0.0.1", escrow_port(platform)), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="escrow.millrace.internal") as secure:
                secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
                return secure.recv(9)
    except OSError:
        return b""


def test_split_roles_speak_tls_with_each_other(split_platform):
    """Nobody gets into a role's port without a certificate of the instance's authority."""
    assert handshake(split_platform, "credit")[3:4] == b"\4", "SETTINGS for a role"
    assert handshake(split_platform) == b""
    with socket.create_connection(("127.0.0.1", escrow_port(split_platform)), timeout=20) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        try:
            answer = plain.recv(64)
        except ConnectionError:
            answer = b""
    assert answer[3:4] != b"\4", "no SETTINGS over plaintext"


def test_grpc_is_served(split_platform):
    address = split_platform.instance["grpc_address"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=20) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert plain.recv(9)[3:4] == b"\4"
