"""A certificate authority, and what it signs, as PEM files in a folder."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Certificates:
    def __init__(self, folder, name="test authority"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._build(name, self.ca_key, name, self.ca_key, authority=True)
        self.ca_file = self.folder / "ca.pem"
        self.ca_file.write_bytes(self.ca.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _build(name, key, issuer, issuer_key, authority=False, client=False, days=30):
        now = datetime.datetime.now(datetime.timezone.utc)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuer_key.public_key()), False))
        if authority:
            builder = builder.add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
        else:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                False)
        return builder.sign(issuer_key, hashes.SHA256())

    def make(self, stem, name="localhost", client=False, days=30):
        """Writes <stem>.pem and <stem>.key; returns (certificate, its file, its key's file)."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._build(name, key, self.ca.subject.get_attributes_for_oid(
            NameOID.COMMON_NAME)[0].value, self.ca_key, client=client, days=days)
        certificate_file = self.folder / f"{stem}.pem"
        key_file = self.folder / f"{stem}.key"
        certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return made, certificate_file, key_file

    def client_context(self, certificate_file=None, key_file=None):
        """What a client uses that trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if certificate_file:
            context.load_cert_chain(certificate_file, key_file)
        return context
