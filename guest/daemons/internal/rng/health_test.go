package rng

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestTheCutoffs computes them as SP 800-90B says.
func TestTheCutoffs(t *testing.T) {
	const failures = 30 // a good source fails with probability 2^-30
	if want := 1 + (failures+minEntropy-1)/minEntropy; repeatCutoff != want {
		t.Errorf("repetition count: %d, not %d", repeatCutoff, want)
	}
	// the smallest count whose cumulative binomial probability is at least 1 - 2^-30
	chance := big.NewRat(1, 1<<minEntropy)
	rest := new(big.Rat).Sub(big.NewRat(1, 1), chance)
	enough := new(big.Rat).Sub(big.NewRat(1, 1), big.NewRat(1, 1<<failures))
	total, count := new(big.Rat), int64(0)
	for ; ; count++ {
		term := new(big.Rat).SetInt(new(big.Int).Binomial(window, count))
		term.Mul(term, power(chance, count)).Mul(term, power(rest, window-count))
		if total.Add(total, term).Cmp(enough) >= 0 {
			break
		}
	}
	if want := 1 + int(count); proportionCutoff != want {
		t.Errorf("adaptive proportion: %d, not %d", proportionCutoff, want)
	}
}

func power(base *big.Rat, exponent int64) *big.Rat {
	e := big.NewInt(exponent)
	return new(big.Rat).SetFrac(new(big.Int).Exp(base.Num(), e, nil), new(big.Int).Exp(base.Denom(), e, nil))
}

func good(n int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	random.Read(data)
	return data
}

func TestAGoodSource(t *testing.T) {
	if err := newHealth().check(good(1 << 22)); err != nil {
		t.Error(err)
	}
}

func TestRepeats(t *testing.T) {
	h := newHealth()
	if err := h.check(append(good(1000), bytes.Repeat([]byte{7}, repeatCutoff-1)...)); err != nil {
		t.Fatal(err)
	}
	// one more, in the next piece
	if err := h.check([]byte{7}); err != errRepeats {
		t.Errorf("got %v", err)
	}
	if err := newHealth().check(make([]byte, repeatCutoff)); err != errRepeats {
		t.Errorf("zeros from the first byte on: %v", err)
	}
}

func TestProportion(t *testing.T) {
	biased := func(equal int) []byte {
		data := good(window)
		for i := range data {
			if i > 0 && data[i] == data[0] {
				data[i]++
			}
		}
		for i := 1; i < equal; i++ {
			data[i*7] = data[0]
		}
		return data
	}
	h := newHealth()
	for range 3 {
		if err := h.check(biased(proportionCutoff - 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.check(biased(proportionCutoff)); err != errProportion {
		t.Errorf("got %v", err)
	}
}

func TestACounterIsNoSourceOfTwoValues(t *testing.T) {
	data := make([]byte, startup)
	for i := range data {
		data[i] = byte(i / 3 % 2)
	}
	if err := newHealth().check(data); err != errProportion {
		t.Errorf("got %v", err)
	}
}
