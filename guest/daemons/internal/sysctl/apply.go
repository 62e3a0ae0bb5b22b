package sysctl

import (
	"strconv"
	"strings"
	"syscall"

	"hullkit/guest/daemons/internal/sys"
)

const (
	directory = "/etc/sysctl.d"
	largest   = 1 << 20
)

// Main applies the files that it is given, else those of /etc/sysctl.d whose names end in .conf, in the order of their
// names. What fails is told with file and line, and does not keep the rest from being applied. Returns the exit status:
// 1 when something failed that no leading "-" allows to.
func Main(arguments []string) int {
	return apply(arguments, "/proc/sys/", directory, func(text string) { sys.Log("sysctl: ", text) })
}

func apply(files []string, root, directory string, tell func(string)) int {
	if len(files) == 0 {
		names, err := sys.Names(directory)
		if err != nil {
			tell(directory + ": " + err.Error())
			return 1
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".conf") {
				files = append(files, directory+"/"+name)
			}
		}
	}
	status := 0
	for _, file := range files {
		text, err := sys.ReadFile(file, largest)
		if err != nil {
			tell(file + ": " + err.Error())
			status = 1
			continue
		}
		settings, problems := parse(string(text))
		for _, each := range problems {
			tell(at(file, each.line) + each.message)
			status = 1
		}
		for _, each := range settings {
			if err := set(root+path(each.key), each.value); err != nil {
				message := at(file, each.line) + each.key + " = " + each.value + ": " + reason(err)
				if each.optional {
					message += ", skipped"
				} else {
					status = 1
				}
				tell(message)
			}
		}
	}
	return status
}

func at(file string, line int) string { return file + ":" + strconv.Itoa(line) + ": " }

func reason(err error) string {
	if err == syscall.ENOENT || err == syscall.ENOTDIR {
		return "this kernel has no such parameter"
	}
	return err.Error()
}

func set(path, value string) error {
	fd, err := sys.Open(path, syscall.O_WRONLY)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// the kernel takes the value from one write
	_, err = syscall.Write(fd, []byte(value+"\n"))
	return err
}
