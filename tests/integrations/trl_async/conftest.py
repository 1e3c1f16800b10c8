import os

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
