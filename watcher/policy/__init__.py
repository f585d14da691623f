"""What SREs write: the policy file's model, its loading, and every mistake with its place."""
