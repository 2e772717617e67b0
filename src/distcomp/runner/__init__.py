"""One attempt is one process tree: start it, watch it, kill it whole, keep what it printed.

    runner.py       Runner: what the worker's loop talks to        wakeup.py    what the loop sleeps on
    launch.py       a claim to a process                           direct.py    commands that need no shell
    strays.py       orphans: whose they are                        trees.py     reads /proc; signals a tree
    slottable.py    who runs in which slot, for other processes    slotfiles.py the files attempts print into
    outputs.py      where output goes after the end                reading.py   and how it is read again
    ends.py         exit status and last lines to an Outcome       leftovers.py what a killed worker left running

Nothing is imported here: `distcomp logs` needs the reading half only, and starts quicker without the other.
"""
