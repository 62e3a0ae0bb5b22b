// A guest for the tests of the machine floor: as PID 1 it speaks the control protocol of docs/guest.md and misbehaves
// as the kernel command line says (guest.mode=...). It is no part of any image that hullkit builds.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type object map[string]any

var control *os.File

func main() {
	if len(os.Args) > 1 && os.Args[1] == "eat" {
		eatMemory()
	}
	for _, mount := range [][2]string{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}} {
		os.MkdirAll(mount[0], 0o755)
		syscall.Mount(mount[1], mount[0], mount[1], 0, "")
	}
	fmt.Println("test guest: hello")
	mode := "up"
	line, _ := os.ReadFile("/proc/cmdline")
	for _, word := range strings.Fields(string(line)) {
		if value, found := strings.CutPrefix(word, "guest.mode="); found {
			mode = value
		}
	}
	if mode == "console" {
		echoConsole()
	}
	loadModules()
	if mode == "foreign" {
		foreign()
	}
	openControl()
	stage("init")
	early(mode)
	stage("services")
	if mode != "unplugged" {
		configureNetwork()
	}
	switch mode {
	case "closed", "unplugged":
	case "silent":
		go silent()
	default:
		go serve()
	}
	container("web", "ready", "")
	send(object{"event": "up", "uptime": uptime()})
	commands(mode)
}

// foreign leaves the control channel to hullkit's agent, which it starts from its disk (docs/guest.md, "The agent").
func foreign() {
	configureNetwork()
	go serve()
	names, _ := filepath.Glob("/sys/block/*/serial")
	for _, name := range names {
		if text, _ := os.ReadFile(name); strings.TrimSpace(string(text)) == "hullkit-agent" {
			program, err := os.ReadFile("/dev/" + filepath.Base(filepath.Dir(name)))
			fmt.Println("test guest: agent", len(program), err, os.WriteFile("/agent", program, 0o700))
		}
	}
	_, err := syscall.ForkExec("/agent", []string{"/agent"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	fmt.Println("test guest: started the agent:", err)
	for {
		syscall.Wait4(-1, nil, 0, nil)
		time.Sleep(10 * time.Millisecond)
	}
}

func uptime() float64 {
	text, _ := os.ReadFile("/proc/uptime")
	var seconds float64
	fmt.Sscan(string(text), &seconds)
	return seconds
}

func openControl() {
	for range 100 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, name := range names {
			text, _ := os.ReadFile(name)
			if strings.TrimSpace(string(text)) == "org.hullkit.control" {
				port := "/dev/" + filepath.Base(filepath.Dir(name))
				if file, err := os.OpenFile(port, os.O_RDWR, 0); err == nil {
					control = file
					return
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println("test guest: no control port")
}

func send(value object) {
	data, _ := json.Marshal(value)
	control.Write(append(data, '\n'))
}

func stage(name string) {
	send(object{"event": "stage", "name": name, "uptime": uptime()})
}

func container(name, state, message string) {
	send(object{"event": "container", "name": name, "kind": "service", "state": state, "message": message, "restarts": 0})
}

// loadModules loads all there are, in as many passes as their dependencies take.
func loadModules() {
	names, _ := filepath.Glob("/modules/*")
	for pass := 0; pass < 5 && len(names) > 0; pass++ {
		var left []string
		for _, name := range names {
			if !loadModule(name) {
				left = append(left, name)
			}
		}
		names = left
	}
	if len(names) > 0 {
		fmt.Println("test guest: not loaded:", names)
	}
}

func loadModule(name string) bool {
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	flags := 0
	if strings.HasSuffix(name, ".xz") {
		flags = 4 // MODULE_INIT_COMPRESSED_FILE
	}
	parameters := []byte{0}
	const finitModule = 313
	_, _, errno := syscall.Syscall(finitModule, file.Fd(), uintptr(unsafe.Pointer(&parameters[0])), uintptr(flags))
	return errno == 0 || errno == syscall.EEXIST
}

// early is what may go wrong before the system is up.
func early(mode string) {
	switch mode {
	case "garbage":
		control.Write([]byte("\x00\xff{{{\n[1,2]\n{\"event\":\"moon\"}\n\"x\"\n"))
		control.Write([]byte(strings.Repeat("a", 3<<20) + "\n"))
	case "failed":
		container("web", "failed", "exit status 1")
		send(object{"event": "log", "name": "web", "line": "cannot open \x1b[31m/etc/web.conf"})
		send(object{"event": "failed", "culprit": "web", "message": "exit status 1, given up after 5 restarts"})
		commands(mode)
	case "fatal":
		send(object{"event": "fatal", "message": "hull.json is missing"})
		commands(mode)
	case "slow":
		container("web", "running", "")
		commands(mode)
	case "panic":
		os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "exit":
		os.Exit(3)
	case "poweroff":
		syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	case "oom":
		os.StartProcess("/init", []string{"init", "eat"}, &os.ProcAttr{})
		time.Sleep(time.Hour)
	case "devices":
		tellDevices()
	case "spam":
		noise := strings.Repeat("noise ", 12) + "\n"
		for range 5000 {
			os.Stdout.WriteString(noise)
		}
	}
}

// tellDevices says which disk there is, and what the metadata CD holds.
func tellDevices() {
	sectors, _ := os.ReadFile("/sys/block/vda/size")
	serial, _ := os.ReadFile("/sys/block/vda/serial")
	fmt.Printf("test guest: disk vda %s sectors, serial %s\n", strings.TrimSpace(string(sectors)), serial)
	os.Mkdir("/cd", 0o755)
	var err error
	for range 50 {
		if err = syscall.Mount("/dev/sr0", "/cd", "iso9660", syscall.MS_RDONLY, ""); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	text, _ := os.ReadFile("/cd/config")
	fmt.Printf("test guest: metadata %q %v\n", text, err)
}

func eatMemory() {
	for {
		block := make([]byte, 1<<20)
		for at := 0; at < len(block); at += 4096 {
			block[at] = 1
		}
		kept = append(kept, block)
	}
}

var kept [][]byte

func configureNetwork() {
	for range 100 {
		if _, err := net.InterfaceByName("eth0"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	socket, _ := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	defer syscall.Close(socket)
	address := func(a, b, c, d byte) [24]byte { return [24]byte{2, 0, 0, 0, a, b, c, d} }
	setInterface(socket, syscall.SIOCSIFADDR, "eth0", address(10, 0, 2, 15))
	setInterface(socket, syscall.SIOCSIFNETMASK, "eth0", address(255, 255, 255, 0))
	setInterface(socket, syscall.SIOCSIFFLAGS, "eth0", [24]byte{syscall.IFF_UP | syscall.IFF_RUNNING})
}

func setInterface(socket int, request uintptr, name string, value [24]byte) {
	var ifreq [40]byte
	copy(ifreq[:16], name)
	copy(ifreq[16:], value[:])
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), request, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
		fmt.Println("test guest: network", errno)
	}
}

func serve() {
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "hello from the test guest") })
	fmt.Println("test guest:", http.ListenAndServe(":80", nil))
}

// silent accepts connections and says nothing.
func silent() {
	listener, err := net.Listen("tcp", ":80")
	for err == nil {
		var connection net.Conn
		if connection, err = listener.Accept(); err == nil {
			connections = append(connections, connection)
		}
	}
	fmt.Println("test guest:", err)
}

var connections []net.Conn

func report(mode string) object {
	check := object{"name": "web answers", "culprit": "web", "ok": true, "message": ""}
	if mode == "badcheck" {
		check = object{"name": "web answers", "culprit": "web", "ok": false, "message": "status 404, not 200"}
	}
	return object{
		"version": 1, "name": "test", "kernel": "test", "init": "testguest", "runtime": "none",
		"stages":     []object{{"name": "init", "seconds": 1.5}},
		"containers": []object{{"name": "web", "kind": "service", "state": "ready", "exit": nil, "restarts": 0, "ready_seconds": 2.5, "memory": 1 << 20}},
		"memory":     object{"total": 1 << 29, "available": 1 << 28, "kernel": 1 << 24, "tmpfs": 0, "page_cache": 1 << 22},
		"addresses":  []string{"eth0 10.0.2.15/24"},
		"checks":     []object{check},
	}
}

func commands(mode string) {
	lines := bufio.NewScanner(control)
	for {
		for lines.Scan() {
			var command struct{ Command string }
			json.Unmarshal(lines.Bytes(), &command)
			switch {
			case command.Command == "check" && mode != "mute":
				send(object{"event": "report", "report": report(mode)})
			case command.Command == "poweroff" && mode != "immortal":
				fmt.Println("test guest: goodbye")
				syscall.Sync()
				syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
			}
		}
		time.Sleep(50 * time.Millisecond)
		lines = bufio.NewScanner(control)
	}
}

// echoConsole answers each line of the console, until it is "off".
func echoConsole() {
	fmt.Println("test guest: ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Printf("you said %q\n", lines.Text())
		if lines.Text() == "off" {
			break
		}
	}
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
