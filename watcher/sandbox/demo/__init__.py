"""The demo: a good release and a bad one, with the daemon and the shipped policies, told as it happens."""
