"""What a method is worth: the measurements behind the pages of docs/methods and docs/results."""
