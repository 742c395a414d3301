"""For people: command line, web app, doctor; the only place that prints, parses arguments or opens windows."""
