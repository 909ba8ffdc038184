"""Image files: their pixels are those that were drawn."""

import torch

from scratchmm.apps.image_studio.output import image_bytes
from scratchmm.files import atomic_write
from scratchmm.vision.images import open_image, to_image, to_tensor


def test_what_is_written_is_what_was_drawn(tmp_path):
    image = 2 * torch.rand(3, 7, 5) - 1
    atomic_write(tmp_path / "a.png", image_bytes(to_image(image)))
    torch.testing.assert_close(
        to_tensor(open_image(tmp_path / "a.png")), image, rtol=0, atol=1 / 255 + 1e-5
    )
