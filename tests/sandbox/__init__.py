"""Tests of what the demo and the other tests run on."""
