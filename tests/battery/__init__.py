"""The battery: long checks that run as programs, `python -m tests.battery.NAME`, and of which the suite runs a short form."""
