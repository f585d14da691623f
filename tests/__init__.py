"""canary-watch's tests."""
