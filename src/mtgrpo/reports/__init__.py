"""What a run says: curves (plain arrays), figures (matplotlib), and the HTML report. Reads run directories only."""
