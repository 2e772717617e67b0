"""What runs on nodes before and beside distcomp itself: sent as text, run by Python 3.11 or newer, needs nothing else.

`serving.py` reads the question and writes the answer; each other module answers one kind of question with
`main(ask, payload)`. They import the standard library only, and nothing of each other: they are run in one
namespace, and `nodes/call.py` is told which are sent together.
"""
