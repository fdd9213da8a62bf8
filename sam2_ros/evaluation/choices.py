"""Names to choose from.  It imports nothing heavy, because the command line lists them."""

from __future__ import annotations

#: Prompts on the first frame of an object.
FIRST_PROMPTS = ("mask", "box", "1-click", "3-click", "5-click")
#: How objects are prompted; "auto" is "recorded" where prompts were recorded, else "mask".
PROTOCOLS = ("auto", "recorded", *FIRST_PROMPTS, "online", "online-sam", "online-restart", "offline", "images")
#: A user of an interactive protocol clicks on at most this many frames of one object, the first one included.
MOST_FRAMES = 8
#: Clicks on each of these frames.
CLICKS = 3
#: What evaluates several recordings at the same time: processes of this machine, or a Ray cluster.
WORKERS_ON = ("processes", "ray")
#: Data sets that masklets can be exported as.
FORMATS = ("davis", "youtube-vos", "sa-v", "coco-rle")
#: The published numbers of SAM 2 are without the additions of a live tracker, and with every prompted frame.
PAPER = {
    "max_prompted_frames": 0,
    "stability_fallback": False,
    "binarize_prompted_masks": False,
    "hole_area": 0,
    "forget_around_corrections": False,
}
#: SA-V keeps a mask for each object, and they may overlap; the other data sets keep one label for each pixel.
OF_RULES = {"sa-v": {"non_overlapping": False}}
#: Options for bags only.
OF_BAGS = ("image_topic", "truth_topic", "depth_topic", "camera_info_topic", "node")
