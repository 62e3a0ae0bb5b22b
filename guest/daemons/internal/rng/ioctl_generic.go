//go:build !ppc64le

package rng

// addEntropy is RNDADDENTROPY, _IOW('R', 0x03, int[2]) (include/uapi/linux/random.h, asm-generic/ioctl.h).
const addEntropy = 0x40085203
