"""The commands behind the command line, one module for those that belong together; `__main__` starts them."""
