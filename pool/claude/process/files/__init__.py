"""The files by which a process and its runs are found again, whoever was killed meanwhile.

Rule: reads and writes them; starts and ends no process.
"""
