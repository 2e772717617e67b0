"""The commands: each a few lines over the Python API, in a file per noun.

    main.py       the program: finds the command, shows errors        commands.py  which commands there are
    options.py    options that several commands share                 opening.py   the project of a command
    terminal.py   colours, width, what is a terminal                  render.py    values as text or JSON

A command's module is imported when it is called, and what is heavy in it when it is needed.
"""
