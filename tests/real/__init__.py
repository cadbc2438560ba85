"""Real parts for the tests: what a test starts on 127.0.0.1 instead of pretending."""
