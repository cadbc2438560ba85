"""The battery: the long forms of what has a short form among the tests. `make battery` runs them all."""
