"""moto's server of S3 on a port: serve.py PORT [CERTIFICATE KEY]

What is written gets the time of as many seconds ago as the file `age` of the working folder says, so that a test need not
wait for it to be old.
"""
import datetime
import pathlib
import sys

import moto.s3.models
from moto.server import main

now = moto.s3.models.utcnow
age = pathlib.Path("age")


def then():
    seconds = int(age.read_text() or 0) if age.is_file() else 0
    return now() - datetime.timedelta(seconds=seconds)


moto.s3.models.utcnow = then
port, *tls = sys.argv[1:]
tls = ["-c", tls[0], "-k", tls[1]] if tls else []
main(["-H", "127.0.0.1", "-p", port, *tls])
