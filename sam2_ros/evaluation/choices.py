"""What can be chosen by name; imports nothing heavy, since the command line lists it."""

from __future__ import annotations

#: What can be given on the first frame of an object.
FIRST_PROMPTS = ("mask", "box", "1-click", "3-click", "5-click")
#: How objects are prompted; "auto" is "recorded" where prompts were recorded, else "mask".
PROTOCOLS = ("auto", "recorded", *FIRST_PROMPTS, "online", "online-sam", "online-restart", "offline", "images")
#: Frames of one object on which a user of an interactive protocol clicks at most, the first among them.
MOST_FRAMES = 8
#: Clicks on each of these frames.
CLICKS = 3
#: What works on many recordings at a time.
ENGINES = ("processes", "ray")
#: Data sets that masklets can be exported as.
FORMATS = ("davis", "youtube-vos", "sa-v", "coco-rle")
