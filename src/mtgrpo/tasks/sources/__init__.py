"""Where the rows of tasks come from: generators, files, hubs, the published data."""
