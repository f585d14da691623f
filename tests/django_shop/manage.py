"""The shop's own command, as Django writes it: `python manage.py migrate shop <version>`."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_project.settings")
    execute_from_command_line(sys.argv)
