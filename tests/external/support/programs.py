"""Runs command-line clients and keeps what they say."""

import subprocess


def run(*command, check=True, timeout=300, **options):
    """Runs `command`; returns the finished process with its text output. A failure shows the output."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, **options)
    done.text = done.stdout.decode("utf-8", "replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.text[-4000:]}")
    return done
