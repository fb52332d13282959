"""What a replay has found, for people: as values, in words, and as a page of pictures."""
