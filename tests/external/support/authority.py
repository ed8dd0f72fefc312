"""A certificate authority that lives as long as one run, and the certificate of one server. Made by `openssl`."""

import pathlib
import subprocess

# Long enough for the longest run, and no longer.
DAYS = "2"


def openssl(*words):
    """Runs `openssl` and shows what it says only when it fails."""
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")


class Authority:
    """Files in a folder: who vouches (`ca`), and what a server on this machine shows (`certificate`, `key`)."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.ca = folder, folder / "ca.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                "-subj", "/CN=ashlar test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", folder / "ca.key", "-out", self.ca)
        self.issue()

    def issue(self):
        """A new key and certificate in place of the old ones, each file replaced at once."""
        request, extensions = self.folder / "request.pem", self.folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=critical,CA:FALSE\n"
                              "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n")
        key, certificate = self.folder / "new.key", self.folder / "new.pem"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                "-days", DAYS, "-extfile", extensions, "-out", certificate)
        key.chmod(0o600)
        certificate.rename(self.certificate)
        key.rename(self.key)
