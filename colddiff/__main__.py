"""`python -m colddiff`, as torchrun starts it."""

from .cli import leave, main

leave(main())
