"""The supervisor of one process of the CLI: a program of its own that outlives whoever started it.

Rule: the standard library alone, and little of that; nothing else of the pool may be imported.

``supervisors`` starts ``main`` by this folder's name: a script would be compiled anew at every
start, which takes as long as Python's own start, while modules are compiled once. From the second
on a ``zygote`` forks them, which takes a tenth of the time. It inherits the lock of the process as
descriptor 3, which the CLI inherits in turn: as long as the lock is held, something of the process
lives. It leaves its parent at once, since a Ray worker that exits in good order kills its direct
children, and so needs nobody to wait for it. One that many processes shared would be one death for
all of them.

Who owns the process appends to its ``inbox`` (``entries`` says what); the supervisor feeds that to
the CLI, and ends what has to end though nobody else may be alive: a turn beyond its deadline or its
bound of output, a process that nobody has said a word to for as long as it was to be kept. What it
writes beside, each file whole or not at all:

- ``started``: who runs, before the CLI is executed. Without it no CLI ever ran.
- ``turns``: ``begins PLACE AT - RUN``, before any of the run's input is fed, and ``answered PLACE
  AT WHY RUN`` when its result is there: places in ``stdout``, instants of the monotonic clock, and
  why it was made to end. Without the first nothing of the run was handed over.
- ``ended``: how the process ended. Without it, and with the lock free, the supervisor was killed.
- ``stdout``, ``stderr``: written by the CLI itself, straight to the disk.

Each holds against the death of any process. Nothing here waits for the disk: a loss of power ends
the CLI too, and whoever comes after it sees that the machine was started anew (``Runner.place``).

The CLI's stdin stays open until the result is there, because the one way to stop a run that makes
this CLI say what it cost is an ``interrupt`` request on stdin. (Measured with 2.1.330: with
``stream-json`` input SIGINT makes it exit 0 without a result.) So the ladder, for a request to
stop (a file ``stop.RUN_ID``, or SIGTERM), the deadline and the bound of the output is: interrupt
and end of input, after a grace SIGTERM, after another SIGKILL to its process group.
"""
