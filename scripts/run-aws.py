#!/usr/bin/env python3
"""Starts what stands in for AWS, makes the resources in it, and runs `clarity demo` on them: `run-aws.py BINARY PYTHON`.

PYTHON is the interpreter that has moto. What moto holds ends with it.
"""

import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
REGION = "eu-central-1"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(server, port):
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("moto did not come up: `make emulators` installs it")


def main():
    binary, python = sys.argv[1:]
    port = free_port()
    # The launcher removes the folder that it lies in, when it ends.
    launcher = shutil.copy(ROOT / "tests/harness/src/moto_server.py", tempfile.mkdtemp(prefix="clarity-moto-"))
    moto = subprocess.Popen([python, launcher, str(port)], stderr=subprocess.DEVNULL)
    try:
        wait(moto, port)
        settings = {
            "aws.region": REGION,
            "aws.endpoint": f"http://127.0.0.1:{port}",
            "aws.access_key_id": "test",
            "aws.secret_access_key": "test",
            "aws.path_style": "true",
            "aws.topic_arn": f"arn:aws:sns:{REGION}:123456789012:clarity-events.fifo",
            # moto answers one request at a time.
            "aws.attempt_timeout_ms": "60000",
            "aws.operation_timeout_ms": "120000",
        }
        settings |= {f"providers.{port}": "aws" for port in ("health_data", "objects", "jobs", "events", "secrets")}
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        subprocess.run([binary, "cloud", "init", "--provider", "aws", *given], check=True, cwd=ROOT)
        return subprocess.run([binary, "demo", *given], cwd=ROOT).returncode
    except KeyboardInterrupt:
        return 0
    except subprocess.CalledProcessError as error:
        return error.returncode
    finally:
        moto.terminate()
        moto.wait()


if __name__ == "__main__":
    sys.exit(main())
