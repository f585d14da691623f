"""Tests that run against a real kube-apiserver, and the fixtures that start it."""
