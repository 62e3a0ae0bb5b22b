package boot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hullkit/guest/init/internal/container"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/modules"
	"hullkit/guest/init/internal/sys"
)

const (
	// block is the size of the store's blocks, and of those of its hash tree
	block = 4096
	// sector is the unit of the device mapper
	sector = 512
	// storePatience is how long init waits for the device with the store: controllers and drives come when they come
	storePatience = 60 * time.Second
	storePoll     = 50 * time.Millisecond
)

// diskModules are needed to mount a packed root whose store is on a disk, beside those of the disk's own devices.
var diskModules = []string{"dm_mod", "dm_verity", "erofs", "overlay"}

// verity is where the store is and what it must be: hullkit.verity=ROOTHASH:BLOCKS[:OFFSET] of the command line.
type verity struct {
	root string
	// blocks of data; the superblock of the hash tree is the next one
	blocks int64
	// offset of the store in bytes on a medium without partitions, such as a CD
	offset int64
}

func parseVerity(text string) (verity, error) {
	bad := fmt.Errorf("hullkit.verity=%s on the kernel command line is not ROOTHASH:BLOCKS[:OFFSET]", text)
	words := strings.Split(text, ":")
	if len(words) != 2 && len(words) != 3 {
		return verity{}, bad
	}
	if digest, err := hex.DecodeString(words[0]); err != nil || len(digest) != 32 || words[0] != strings.ToLower(words[0]) {
		return verity{}, bad
	}
	wanted := verity{root: words[0]}
	var err error
	if wanted.blocks, err = strconv.ParseInt(words[1], 10, 40); err != nil || wanted.blocks < 1 {
		return verity{}, bad
	}
	if len(words) == 3 {
		if wanted.offset, err = strconv.ParseInt(words[2], 10, 52); err != nil || wanted.offset < 0 || wanted.offset%block != 0 {
			return verity{}, bad
		}
	}
	return wanted, nil
}

// loadDiskModules loads what maps and mounts a store; findStore loads the drivers of the devices.
func loadDiskModules(options Options) (*modules.Loader, error) {
	loader, err := modules.Open(filepath.Join("/lib/modules", sys.Uname()), options.CommandLine)
	if err != nil {
		return nil, err
	}
	return loader, loader.LoadAll(diskModules)
}

// mountStore finds the store among all disks, lets the kernel verify it, and mounts its images below container.Layers:
// one dm-verity device for all, and a slice of it (dm-linear) for each image.
func mountStore(layers []hull.Layer, options Options) error {
	wanted, err := parseVerity(options.Verity)
	if err != nil {
		return err
	}
	loader, err := loadDiskModules(options)
	if err != nil {
		return err
	}
	device, offset, err := findStore(wanted, loader, storePatience)
	if err != nil {
		return err
	}
	verified, err := openStore(wanted, device, offset)
	if err != nil {
		return err
	}
	for _, layer := range layers {
		if layer.Offset+layer.Size > wanted.blocks*block {
			return fmt.Errorf("layer %s lies outside the store", layer.ID)
		}
		parameters := fmt.Sprintf("%s %d", verified, layer.Offset/sector)
		slice, err := sys.MapDevice("hullkit-"+layer.ID, uint64(layer.Size/sector), "linear", parameters)
		if err != nil {
			return err
		}
		if err := mountLayer(layer, slice); err != nil {
			return err
		}
	}
	return nil
}

// openStore makes the device that reads nothing but what the root hash vouches for: anything else is an I/O error.
func openStore(wanted verity, device string, offset int64) (string, error) {
	var err error
	if offset > 0 {
		// the data of dm-verity begin where the device begins
		length := uint64(wanted.blocks+1+hashBlocks(wanted.blocks)) * block / sector
		if device, err = sys.MapDevice("hullkit-medium", length, "linear", fmt.Sprintf("%s %d", device, offset/sector)); err != nil {
			return "", err
		}
	}
	parameters := fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s -", device, device, block, block, wanted.blocks, wanted.blocks+1, wanted.root)
	return sys.MapDevice("hullkit-store", uint64(wanted.blocks)*block/sector, "verity", parameters)
}

// hashBlocks counts the blocks of the hash tree: 128 digests in each, level by level up to a single block.
func hashBlocks(blocks int64) (total int64) {
	for blocks > 1 {
		blocks = (blocks + 127) / 128
		total += blocks
	}
	return total
}

// findStore waits for a disk, partition or CD that has the superblock of the wanted store.
func findStore(wanted verity, loader *modules.Loader, patience time.Duration) (device string, offset int64, err error) {
	for started := time.Now(); ; time.Sleep(storePoll) {
		_, failed := loader.Coldplug("/sys")
		names := blockDevices("/sys/class/block")
		for _, name := range names {
			for _, offset := range []int64{0, wanted.offset} {
				if wanted.at(filepath.Join("/dev", name), offset) {
					return filepath.Join("/dev", name), offset, nil
				}
			}
		}
		if time.Since(started) > patience {
			seen := "there is none"
			if len(names) > 0 {
				seen = "there are " + strings.Join(names, ", ")
			}
			return "", 0, errors.Join(fmt.Errorf("no disk has the store %.16s… after %.0f s (%s): is it attached, and its driver among the modules of the initramfs?",
				wanted.root, patience.Seconds(), seen), failed)
		}
	}
}

// blockDevices lists disks and partitions, without those that are made of other things.
func blockDevices(directory string) []string {
	entries, _ := os.ReadDir(directory)
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, "loop") && !strings.HasPrefix(name, "ram") && !strings.HasPrefix(name, "dm-") {
			names = append(names, name)
		}
	}
	return names
}

// at tells whether the device has the superblock (cryptsetup's Verity on-disk format) whose UUID begins the root hash.
// It only finds the store; what is believed of it is what the root hash vouches for.
func (v verity) at(device string, offset int64) bool {
	file, err := os.OpenFile(device, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	superblock := make([]byte, sector)
	if _, err := io.ReadFull(io.NewSectionReader(file, offset+v.blocks*block, sector), superblock); err != nil {
		return false
	}
	return bytes.HasPrefix(superblock, []byte("verity\x00\x00")) &&
		binary.LittleEndian.Uint64(superblock[72:]) == uint64(v.blocks) &&
		hex.EncodeToString(superblock[16:32]) == v.root[:32]
}

func mountLayer(layer hull.Layer, device string) error {
	target := filepath.Join(container.Layers, layer.ID)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := sys.Mount(device, target, "erofs", syscall.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("layer %s is damaged, or erofs is missing: %w", layer.ID, err)
	}
	return nil
}
