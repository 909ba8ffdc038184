"""Editing with a trained diffusion model: under a mask, from an image, in another style."""
