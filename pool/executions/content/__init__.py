"""The content of a conversation: texts, images, documents, and the turns that hold them.

Rule: values and their checks; knows no execution.
"""
