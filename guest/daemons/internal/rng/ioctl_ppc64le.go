package rng

// addEntropy is RNDADDENTROPY; on powerpc the bits of _IOC_WRITE are others (arch/powerpc/include/uapi/asm/ioctl.h).
const addEntropy = 0x80085203
