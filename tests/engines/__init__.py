"""The recipes of docs/engines.md in the engines' own code; each test is skipped where its engine cannot be imported.

They need the engines' sources on the path and what these import, in an environment of their own:

    git clone https://github.com/THUDM/slime && git -C slime checkout 624b824
    PYTHONPATH=src:slime python -m pytest tests/engines

No model is loaded and no server is started: what would be generated is made up, everything around it is the engine's.
"""
