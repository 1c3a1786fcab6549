"""What commands print for people: a file for each subject. What they know comes from the rooms' own objects."""
