"""Commands with options of their own, each put on the app by a `register`; nothing heavy is imported before they run."""
