package sys

// arch/s390/kernel/syscalls/syscall.tbl
const (
	sysFinitModule = 344
	sysSetns       = 339
)
