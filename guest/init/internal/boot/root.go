package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"hullkit/guest/init/internal/container"
	"hullkit/guest/init/internal/hull"
	"hullkit/guest/init/internal/modules"
	"hullkit/guest/init/internal/sys"
)

// newRoot is where the root is put together, in the initramfs.
const newRoot = "/sysroot"

// rootModules are needed to mount a packed root; each brings its dependencies.
var rootModules = []string{"loop", "erofs", "overlay"}

// loadRootModules loads from the initramfs what a store in the initramfs needs.
func loadRootModules(options Options) error {
	loader, err := modules.Open(filepath.Join("/lib/modules", sys.Uname()), options.CommandLine)
	if err != nil {
		return err
	}
	return loader.LoadAll(rootModules)
}

// PackedRoot mounts the store's layers and the root made of them, and makes it the root of init.
func PackedRoot(system *hull.System, options Options) error {
	mount := mountLayers
	if system.OnDisk() {
		mount = mountStore
	}
	if err := mount(system.Layers, options); err != nil {
		return err
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	writable := ""
	if options.WritableRoot {
		writable = "/run/hull/root"
		if err := writableTmpfs(writable); err != nil {
			return err
		}
	}
	if err := container.MountLayers(system.Root, newRoot, writable); err != nil {
		return err
	}
	freeInitramfs()
	return switchRoot()
}

func writableTmpfs(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return sys.Mount("tmpfs", path, "tmpfs", 0, "mode=0755")
}

// mountLayers mounts every image of a store in the initramfs below container.Layers.
func mountLayers(layers []hull.Layer, options Options) error {
	if err := loadRootModules(options); err != nil {
		return err
	}
	for _, layer := range layers {
		file := filepath.Join("/", layer.File)
		device, err := sys.AttachLoop(file)
		if err != nil {
			return fmt.Errorf("layer %s: %w", layer.ID, err)
		}
		if err := mountLayer(layer, device); err != nil {
			return err
		}
	}
	return nil
}

// freeInitramfs removes what is not needed any more from RAM. The store's images stay: the loop devices hold them.
func freeInitramfs() {
	for _, path := range []string{"/init", "/hull.json", "/lib", "/hull"} {
		os.RemoveAll(path)
	}
}

// FlatRoot takes the initramfs itself as the root, read-only unless asked otherwise. pivot_root, which the runtimes
// need, refuses the bare rootfs: a bind mount of it on itself is a root that can be left.
func FlatRoot(options Options) error {
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	if err := sys.Mount("/", newRoot, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	for _, each := range append(early, late...) {
		os.MkdirAll(filepath.Join(newRoot, each.target), 0o755)
	}
	os.Remove(filepath.Join(newRoot, "init"))
	if !options.WritableRoot {
		if err := sys.Mount("", newRoot, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
			return err
		}
	}
	return switchRoot()
}

// switchRoot moves the early mounts into newRoot and newRoot over /.
func switchRoot() error {
	for _, each := range early {
		if err := sys.Mount(each.target, filepath.Join(newRoot, each.target), "", syscall.MS_MOVE, ""); err != nil {
			return err
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := sys.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return err
	}
	if err := syscall.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return os.Chdir("/")
}
