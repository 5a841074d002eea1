"""The demonstration: real code of a real package, played as a person's working day (contracts 12)."""
