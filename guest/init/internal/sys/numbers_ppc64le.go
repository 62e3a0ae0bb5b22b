package sys

// arch/powerpc/kernel/syscalls/syscall.tbl
const (
	sysFinitModule = 353
	sysSetns       = 350
)
