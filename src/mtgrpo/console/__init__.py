"""What the command line shows, with rich. Only `mtgrpo.cli` uses this."""
