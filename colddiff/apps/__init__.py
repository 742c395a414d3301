"""For people: command line, web app, doctor; the only place that prints, parses arguments or opens windows.

`viz` makes pictures: Pillow for sheets of images, matplotlib (never pyplot: no global state, any thread) for plots;
`cli/commands/plot_*.py` are its command line. `web` is three tabs, each a class that computes on plain values and a
function that lays it out; controls are made from the fields of any operator; what a browser gets lies in files that
are written once. Gradio fetches addresses for whoever asks, so the process refuses every lookup and connection but to
itself (`web/network_guard.py`). `interop` has a file for each library; nothing of it is imported before it is asked
for, and none of it writes a formula of ours again: a step of `ColdScheduler`, or of an ONNX graph, is the sampler on
a grid of two times. What an evaluation recommends is a file of the run (`recommended`), stored by `recommend` where
it is better evidence than what is there, and taken by `Run.restore` where neither sampler nor steps are given.
`docs/` is run by the tests: pages, the notebook that one of them is too, each identity's test, each error that
troubleshooting quotes.
"""
