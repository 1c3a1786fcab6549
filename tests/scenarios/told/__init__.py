"""What is told of a scenario: keys that change nothing, mistakes of several kinds at once, paths as they are given."""
