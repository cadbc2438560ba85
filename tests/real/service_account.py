"""Real Google service-account keys, made here, known to nobody: an RSA key of 2048 bits in the file that Google's console hands out."""

import json
import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "acme-images"


def service_account_key(*, crlf: bool = False, indent: int | None = 2, project_id: str = PROJECT, final_newline: bool = True) -> bytes:
    """The bytes of a new key file.

    `crlf` ends its lines the way a Windows editor does, and `indent` of None writes it on one line: a store that keeps the file
    byte for byte must give each of them back. (The newlines inside `private_key` are escapes of JSON and stay what they are.)
    """
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    client_email = f"image-puller@{project_id}.iam.gserviceaccount.com"
    document = {
        "type": "service_account",
        "project_id": project_id,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode("ascii"),
        "client_email": client_email,
        "client_id": str(10**20 + secrets.randbelow(10**20)),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{client_email.replace('@', '%40')}",
        "universe_domain": "googleapis.com",
    }
    text = json.dumps(document, indent=indent) + ("\n" if final_newline else "")
    return text.replace("\n", "\r\n" if crlf else "\n").encode("ascii")
