package boot

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var someRoot = strings.Repeat("0123456789abcdef", 4)

func TestParseVerity(t *testing.T) {
	cases := map[string]verity{
		someRoot + ":1":         {someRoot, 1, 0},
		someRoot + ":5000:8192": {someRoot, 5000, 8192},
	}
	for text, expected := range cases {
		if got, err := parseVerity(text); err != nil || got != expected {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, bad := range []string{
		"", someRoot, someRoot + ":", someRoot + ":0", someRoot + ":-1", someRoot + ":1:100", someRoot + ":1:-4096",
		someRoot + ":1:0:0", someRoot[1:] + ":1", "g" + someRoot[1:] + ":1", strings.ToUpper(someRoot) + ":1",
		someRoot + ":99999999999999999999",
	} {
		if got, err := parseVerity(bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, got)
		}
	}
}

func TestHashBlocks(t *testing.T) {
	cases := map[int64]int64{1: 0, 2: 1, 128: 1, 129: 3, 128 * 128: 129, 128*128 + 1: 129 + 3}
	for blocks, expected := range cases {
		if got := hashBlocks(blocks); got != expected {
			t.Errorf("%d blocks: %d", blocks, got)
		}
	}
}

func TestFindsItsOwnStoreOnly(t *testing.T) {
	wanted := verity{root: someRoot, blocks: 2, offset: 4096}
	path := filepath.Join(t.TempDir(), "disk")
	disk := make([]byte, 4*block)
	superblock := disk[3*block:]
	copy(superblock, "verity")
	uuid, _ := hex.DecodeString(someRoot[:32])
	copy(superblock[16:], uuid)
	binary.LittleEndian.PutUint64(superblock[72:], 2)
	write := func() {
		if err := os.WriteFile(path, disk, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if !wanted.at(path, 4096) || wanted.at(path, 0) || wanted.at(path, 8192) || wanted.at(path+"x", 4096) {
		t.Error("the store is where it is, and nowhere else")
	}
	for _, position := range []int{0, 16, 31, 72} {
		superblock[position] ^= 1
		write()
		if wanted.at(path, 4096) {
			t.Error("taken for the store with another byte", position)
		}
		superblock[position] ^= 1
	}
}

func TestBlockDevices(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"vda", "vda1", "sr0", "loop0", "dm-1", "ram3"} {
		os.Mkdir(filepath.Join(directory, name), 0o755)
	}
	if got := strings.Join(blockDevices(directory), " "); got != "sr0 vda vda1" {
		t.Error(got)
	}
}
