"""The command line of scripts that start their own server."""

import argparse
import contextlib
import pathlib
import random
import shutil
import tempfile


def parser(text):
    """Options that all of them have."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--binary", required=True, type=pathlib.Path, help="the ashlar program")
    made.add_argument("--folder", type=pathlib.Path, help="where to work; a new temporary folder if not given")
    made.add_argument("--seed", type=int, default=None, help="repeat this run's choices (not its timing)")
    return made


def run(options, work):
    """Runs `work(options, folder)`; prints the seed first and last, and cleans up a folder of our own."""
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    options.seed = seed
    print(f"seed {seed}", flush=True)
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="ashlar-alone-"))
    try:
        work(options, folder)
    except Exception:
        print(f"FAILED with seed {seed}", flush=True)
        raise
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"seed {seed}")


@contextlib.contextmanager
def running(server):
    """The server, started; it ends with the context, and its last lines are shown when that fails."""
    server.start()
    try:
        yield server
    except Exception:
        print(f"--- the server's last lines\n{server.tail()}", flush=True)
        raise
    finally:
        server.end()
