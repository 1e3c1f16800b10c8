"""``python -m mtgrpo``, which is what ``accelerate launch -m mtgrpo`` needs."""

from mtgrpo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
