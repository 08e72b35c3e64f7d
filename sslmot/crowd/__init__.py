"""A generated crowd: people in their own clothes who cross and hide each other on a plaza.

Pictures, detections and truth all follow from a seed, so that a demo, a test or a lesson needs no
footage and no weights. People walk (``walk``) on a ground plane under a pinhole camera
(``camera``). Each is a jointed figure of convex polygons (``people``), painted from far to near
onto a place (``plaza``); the same polygons give boxes and silhouettes, the same joints shadows.
World coordinates are metres: x to the right, up, depth from the camera.
"""

from sslmot.crowd.crowd import Crowd, CrowdConfig, Truth

__all__ = ["Crowd", "CrowdConfig", "Truth"]
