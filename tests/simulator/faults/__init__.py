"""Lives of jobs: laws and closed forms."""
