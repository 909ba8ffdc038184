"""The image studio: from prompts and images to a folder of generated images that can be resumed.

jobs (what to generate), prompt_table (a file of prompts), inputs (images to start from), models
(the trained generator), sampling (from noise to an image), scores (quality and CLIPScore), batch
(many images, resumable), manifest (one line an image), contact_sheet, output (one image file).
"""
