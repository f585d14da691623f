"""The pure core: values and `now` in, verdicts and decisions out. No clock, no I/O, no logging."""
