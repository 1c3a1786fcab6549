"""What several tests use: strategies, oracles, small programs and wirings, a browser, the runner of pages."""
