package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/sys"
)

// Layers is where the erofs images of the store are mounted, each below its id.
const Layers = "/run/hull/layers"

const writableDirectory = "/run/hull/writable"

// maxMountData is what mount(2) takes as data: one page, with its end.
const maxMountData = 4095

// MountLayers puts layers (top first) on target: a plain mount where there is one, an overlay where there are several.
// writable, if not empty, is a directory on a writable file system for what is written.
func MountLayers(references []string, target, writable string) error {
	paths := make([]string, len(references))
	for i, reference := range references {
		paths[i] = filepath.Join(Layers, reference)
	}
	// overlayfs refuses a single lower directory without an upper one
	if len(paths) == 1 && writable == "" {
		return sys.Mount(paths[0], target, "", syscall.MS_BIND, "")
	}
	data := "lowerdir=" + strings.Join(paths, ":")
	flags := uintptr(syscall.MS_RDONLY)
	if writable != "" {
		upper, work := filepath.Join(writable, "upper"), filepath.Join(writable, "work")
		for _, directory := range []string{upper, work} {
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return err
			}
		}
		// volatile: no sync on behalf of what is in RAM anyway
		data += ",upperdir=" + upper + ",workdir=" + work + ",volatile"
		flags = 0
	}
	if len(data) > maxMountData {
		return fmt.Errorf("%d layers on %s are more than the kernel takes", len(paths), target)
	}
	return sys.Mount("overlay", target, "overlay", flags, data)
}

// mountRoot makes the root file system of a packed container.
func mountRoot(container *hull.Container) error {
	target := filepath.Join("/", container.Bundle, "rootfs")
	writable := ""
	if container.Writable {
		writable = filepath.Join(writableDirectory, container.Kind, container.ID)
		if err := os.MkdirAll(writable, 0o700); err != nil {
			return err
		}
		if err := sys.Mount("tmpfs", writable, "tmpfs", 0, "mode=0755"); err != nil {
			return err
		}
	}
	return MountLayers(container.Layers, target, writable)
}

// unmountRoot takes away what mountRoot made.
func unmountRoot(container *hull.Container) {
	syscall.Unmount(filepath.Join("/", container.Bundle, "rootfs"), syscall.MNT_DETACH)
	if container.Writable {
		syscall.Unmount(filepath.Join(writableDirectory, container.Kind, container.ID), syscall.MNT_DETACH)
	}
}
