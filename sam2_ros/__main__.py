"""``python -m sam2_ros`` is the command ``sam2_ros``."""

from sam2_ros.interrupts import immediate

with immediate():
    from sam2_ros.cli import main

raise SystemExit(main())
