"""The models that have a name: those that ship with this package, and the published checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sam2_ros.files import git_blob, sha256

#: The weights that ship with this package, by name.
SHIPPED = {"embedded": Path(__file__).parents[1] / "weights" / "embedded.safetensors"}


@dataclass(frozen=True)
class Published:
    """One published checkpoint: where it is, and the SHA256 of its bytes or the id that git gives to them."""

    url: str
    sha256: str = ""
    git_blob: str = ""

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[1]

    @property
    def size(self) -> str:
        """The name of its size."""
        return self.file_name.removesuffix(".pt").rpartition("_hiera_")[2]

    @property
    def checksum(self) -> tuple[str, str]:
        """The kind of the known checksum, and the checksum."""
        return ("SHA256", self.sha256) if self.sha256 else ("git blob id", self.git_blob)

    def is_in(self, path: Path) -> bool:
        """Whether the file at ``path`` is this one."""
        return sha256(path) == self.sha256 if self.sha256 else git_blob(path) == self.git_blob


_META = "https://dl.fbaipublicfiles.com/segment_anything_2"

#: The published checkpoints by name (Apache-2.0, Meta); the sizes' short names mean SAM 2.1.
PUBLISHED = {
    name: Published(f"{_META}/{folder}/{name}.pt", digest)
    for name, folder, digest in (
        ("sam2.1_hiera_tiny", "092824", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
        ("sam2.1_hiera_small", "092824", "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
        ("sam2.1_hiera_base_plus", "092824", "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
        ("sam2.1_hiera_large", "092824", "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
        ("sam2_hiera_tiny", "072824", "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
        ("sam2_hiera_small", "072824", "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
        ("sam2_hiera_base_plus", "072824", "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"),
        ("sam2_hiera_large", "072824", "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
    )
}
PUBLISHED |= {name: PUBLISHED[f"sam2.1_hiera_{name}"] for name in ("tiny", "small", "base_plus", "large")}
# EdgeTAM (Apache-2.0, Meta): its owners keep the file in their repository, and no other checksum of it is known.
# The address names a commit, so that a later change of the repository does not break the download.
PUBLISHED["edgetam"] = Published(
    "https://raw.githubusercontent.com/facebookresearch/EdgeTAM/9cc44bfe9e16cc374242917b91283c718410ea87"
    "/checkpoints/edgetam.pt",
    git_blob="abd54d22bbd22ba3e53cf59a307e59e0f3701be6",
)
#: Names with a side of the image, for machines without a GPU.  Every known name may be followed by one.
WITH_SIDE = ("embedded_320", "edgetam_512", "tiny_512")


def known_names() -> list[str]:
    """Every name that ``checkpoint.load`` accepts besides paths; more with a side, as in small_768."""
    return [*SHIPPED, *PUBLISHED, *WITH_SIDE]


def without_side(name: str) -> tuple[str, int]:
    """A known name without the side that may follow it, and that side; anything else as it is, and 0."""
    start, _, end = name.rpartition("_")
    if end.isdecimal() and start in {*SHIPPED, *PUBLISHED}:
        return start, int(end)
    return name, 0
