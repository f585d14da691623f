"""The outside systems, one a module or package. Vendor exceptions and secrets stop here."""
