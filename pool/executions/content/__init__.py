"""The content of a conversation: texts, images, documents, and the turns that hold them."""
