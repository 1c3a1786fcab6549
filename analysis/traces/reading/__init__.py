"""One trace file, step by step: its text, the events in it, devices and lanes, the rows of a timeline."""
