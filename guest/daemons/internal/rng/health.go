// Package rng feeds the kernel's random number generator from a hardware one.
package rng

import "errors"

// The health tests of NIST SP 800-90B, 4.4, over bytes of which each is claimed to have minEntropy bits of entropy, a half
// of what a good source has. A good source fails one in 2^30 times.
const (
	minEntropy = 4
	// repeatCutoff: 1 + 30/minEntropy, rounded up (4.4.1)
	repeatCutoff = 9
	// window and proportionCutoff: 1 + the number of equal bytes in a window that is exceeded with probability 2^-30 when
	// one byte in 2^minEntropy is equal (4.4.2)
	window           = 512
	proportionCutoff = 71
)

var (
	errRepeats    = errors.New("it gives the same byte again and again (repetition count test)")
	errProportion = errors.New("it gives one byte far too often (adaptive proportion test)")
)

// health looks at all that a source gives, from its first byte on.
type health struct {
	last    int // -1 before the first byte
	repeats int
	first   byte // of the window
	seen    int  // bytes of the window
	equal   int
}

func newHealth() *health { return &health{last: -1} }

// check looks at data; an error means that the source is not what it was.
func (h *health) check(data []byte) error {
	for _, each := range data {
		if int(each) == h.last {
			if h.repeats++; h.repeats >= repeatCutoff {
				return errRepeats
			}
		} else {
			h.last, h.repeats = int(each), 1
		}
		if h.seen == 0 {
			h.first, h.equal = each, 0
		}
		if each == h.first {
			if h.equal++; h.equal >= proportionCutoff {
				return errProportion
			}
		}
		h.seen = (h.seen + 1) % window
	}
	return nil
}
