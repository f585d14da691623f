"""The manifests as they ship."""
