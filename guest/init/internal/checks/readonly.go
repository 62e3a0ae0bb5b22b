package checks

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"hullkit/guest/init/internal/sys"
)

const probeName = ".hullkit-write-check"

// refusesWrites tries to make a file in each directory below root, as a process whose root directory is root would. The
// kernel must refuse because the file system is read-only; a directory that is not there, or on which something else is
// mounted, is no part of the root.
func refusesWrites(root string, directories []string) error {
	top, err := sys.OpenPath(root)
	if err != nil {
		return err
	}
	defer top.Close()
	info, err := top.Stat()
	if err != nil {
		return err
	}
	for _, directory := range directories {
		if err := refusesWrite(top, info, directory); err != nil {
			return err
		}
	}
	return nil
}

func refusesWrite(top *os.File, info os.FileInfo, directory string) error {
	path := strings.TrimPrefix(directory, "/")
	if path == "" {
		path = "."
	}
	inside, err := sys.OpenInRoot(top, path, sys.OPath|syscall.O_DIRECTORY, 0)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer inside.Close()
	own, err := inside.Stat()
	if err != nil {
		return err
	}
	if device(own) != device(info) {
		return nil
	}
	file, err := sys.OpenInRoot(inside, probeName, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY, 0o600)
	if err == nil {
		file.Close()
		os.Remove(fmt.Sprintf("/proc/self/fd/%d/%s", inside.Fd(), probeName))
		return fmt.Errorf("a file could be made in %s", directory)
	}
	if !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("making a file in %s failed, but not because it is read-only: %w", directory, err)
	}
	return nil
}

func device(info os.FileInfo) uint64 {
	if status, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(status.Dev)
	}
	return 0
}
