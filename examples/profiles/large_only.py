"""Linux 6.12, in which only a range of 1 GiB and more may host its memmap."""

from memhotplug.plugin import Kernel, KernelProfile, hookimpl, profile_of


class LargeOnly(profile_of("linux-6.12")):  # type: ignore[misc]  # which class, the installed plugin says
    def memmap_on_memory_refusal(self, kernel: Kernel, size: int | None = None) -> str | None:
        if size is not None and size < 1 << 30:
            return "the range is smaller than 1G"
        return super().memmap_on_memory_refusal(kernel, size)


@hookimpl
def kernel_profile() -> KernelProfile:
    return LargeOnly()
