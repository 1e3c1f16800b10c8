"""What a run says: curves (plain arrays), figures (matplotlib), and HTML reports.

Reads run directories and the results of studies only.
"""
