package sys

// arch/x86/entry/syscalls/syscall_64.tbl
const (
	sysFinitModule = 313
	sysSetns       = 308
)
