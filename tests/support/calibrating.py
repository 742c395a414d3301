"""Pictures that a calibration has seen, and others."""

import colddiff as cd

PHOTOS = cd.load_data("photos")


HELD_OUT = cd.load_data("photos", split="test")


SEEN, NEW = PHOTOS[:48], HELD_OUT[:96]
