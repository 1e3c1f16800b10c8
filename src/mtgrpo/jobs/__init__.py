"""What a configuration becomes: a run, a resumed run, an evaluation, a study. Nothing here imports torch itself."""
