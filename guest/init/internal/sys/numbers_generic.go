//go:build arm64 || riscv64

package sys

// include/uapi/asm-generic/unistd.h
const (
	sysFinitModule = 273
	sysSetns       = 268
)
