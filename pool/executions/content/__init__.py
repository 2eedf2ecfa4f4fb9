"""What a model is shown and says: texts, images, documents, and the turns that hold them."""
