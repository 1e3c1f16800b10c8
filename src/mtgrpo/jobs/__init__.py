"""What a configuration becomes: a run, a resumed run, an evaluation, a study. Free of torch."""
