"""From task files and task specs to tasks in the store.

adding.py      checks them, then adds them        submitted.py    what came of it
"""
