"""Colddiff beside other libraries: each file needs the package that it is named after, and is imported by itself."""
