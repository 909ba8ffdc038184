"""The generated world: scenes, and their renderings as images, captions, questions, clips, sounds."""
