"""`python -m colddiff`, as torchrun starts it."""

from .apps.cli.main import leave, main

leave(main())
